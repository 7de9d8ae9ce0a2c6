<?php
// SPDX-License-Identifier: Apache-2.0
echo "Hello from PHP ", PHP_MAJOR_VERSION, ".", PHP_MINOR_VERSION, ": ", strrev("lupine"), "\n";
