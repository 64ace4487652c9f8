/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ACG_REQUEST_H
#define ACG_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "record.h"

#define REQUEST_MAX	(32 * 1024)

/*
 * The body of POST /v1/acg/run for these options and this NULL-terminated command.
 * False if the options do not fit: an intent that is sent in part is another intent.
 */
bool request_run(struct record_buf *b, char **options, size_t n_options, char **command);

#endif
