/* SPDX-License-Identifier: Apache-2.0 */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>

int error_set(struct lupine_error *error, enum lupine_error_code code, int number,
	      const char *format, ...)
{
	va_list args;

	if (!error)
		return number;
	error->code = code;
	error->number = number;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return number;
}
