/* SPDX-License-Identifier: Apache-2.0 */
#include "openapi.h"

const char openapi_json[] = {
#include "openapi_bytes.h"
};
const size_t openapi_json_len = sizeof(openapi_json) - 1;
