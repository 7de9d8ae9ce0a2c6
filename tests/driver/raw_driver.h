/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For fuzzers of devices: a driver whose every act is read from the fuzzer's input - register
 * accesses of any width, descriptors, avail entries, guest memory, notifications. The first bytes
 * set the device up as a right driver does, since random registers would hardly ever get there.
 */
#ifndef LUPINE_TEST_RAW_DRIVER_H
#define LUPINE_TEST_RAW_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#include "driver.h"

/* What happens on the host's side meanwhile: an act of the fuzzer's own. */
typedef void raw_driver_host_fn(struct driver *driver, uint8_t what);

/* Resets the device, then does what @data says. Aborts when a bound is broken. @host may be NULL.
 */
void raw_driver_run(struct driver *driver, const uint8_t *data, size_t size,
		    raw_driver_host_fn *host);

#endif
