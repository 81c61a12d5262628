/* SPDX-License-Identifier: Apache-2.0 */
/* SANITIZED: built with AddressSanitizer or ThreadSanitizer, by gcc or by clang. */
#ifndef EBB_SANITIZED_H
#define EBB_SANITIZED_H

#include <stdbool.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
	__has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#else
#define SANITIZED false
#endif

#endif
