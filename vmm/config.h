/* SPDX-License-Identifier: Apache-2.0 */
/* From what an embedder gave to a configuration that holds: every field set, every bound checked.
 */
#ifndef LUPINE_CONFIG_H
#define LUPINE_CONFIG_H

#include "lupine.h"

#define CONFIG_MEMORY_MAX (1ull << 40) /* 1 TiB: within every CPU's guest-physical addresses */

/*
 * Copies @given into @config (honouring its size), fills in defaults, checks what can be checked
 * without the host. Strings and arrays stay @given's. -errno with @error.
 */
int config_validate(const struct lupine_config *given, struct lupine_config *config,
		    struct lupine_error *error);

/* A disk or net of a configuration that holds, whatever size the program's structures have. */
struct lupine_disk config_disk(const struct lupine_config *config, unsigned int i);
struct lupine_net config_net(const struct lupine_config *config, unsigned int i);

#endif
