/* SPDX-License-Identifier: Apache-2.0 */
/* The boot report as text for people or JSON for machines. */
#ifndef LUPINE_PRINT_REPORT_H
#define LUPINE_PRINT_REPORT_H

#include <stdio.h>

#include "lupine.h"

/* -errno when @file does not take it. */
int print_report_text(FILE *file, const struct lupine_report *report,
		      const struct lupine_exit *end);
int print_report_json(FILE *file, const struct lupine_report *report,
		      const struct lupine_exit *end);

#endif
