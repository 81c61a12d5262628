/* SPDX-License-Identifier: Apache-2.0 */
/* docs/openapi.yaml as JSON; made when the controller is built. */
#ifndef EBB_CONTROLLER_OPENAPI_H
#define EBB_CONTROLLER_OPENAPI_H

#include <stddef.h>

extern const char openapi_json[];
extern const size_t openapi_json_len;

#endif
