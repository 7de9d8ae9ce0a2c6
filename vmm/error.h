/* SPDX-License-Identifier: Apache-2.0 */
/* The library's edge: where -errno becomes one line of text. */
#ifndef LUPINE_ERROR_H
#define LUPINE_ERROR_H

#include "lupine.h"

/* Fills @error (which may be NULL) and returns @number, a -errno. */
int error_set(struct lupine_error *error, enum lupine_error_code code, int number,
	      const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
