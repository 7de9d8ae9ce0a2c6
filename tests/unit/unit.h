/* SPDX-License-Identifier: Apache-2.0 */
/* cmocka needs these before its own header. */
#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
