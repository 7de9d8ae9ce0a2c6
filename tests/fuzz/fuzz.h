/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer's entry, which it declares nowhere. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
