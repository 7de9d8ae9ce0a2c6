/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's command line: what the monitor says, then what the user adds, which so wins. */
#ifndef LUPINE_CMDLINE_H
#define LUPINE_CMDLINE_H

#include "lupine.h"

#define CMDLINE_SIZE 4096u /* what Linux takes on x86 is less (2047) and checked by the loader */

/* Writes it, NUL terminated, for a validated @config. -E2BIG when it does not fit. */
int cmdline_write(const struct lupine_config *config, char cmdline[CMDLINE_SIZE]);

#endif
