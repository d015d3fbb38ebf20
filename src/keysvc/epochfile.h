/*
 * epochfile.h: the state file of the epochs' secrets: mode 0600, replaced as a whole (written beside,
 * synced, renamed, its folder synced), so that a crash leaves the old one or the new one. Its bytes
 * are specified in crypto/generation.h.
 */
#ifndef KEYSVC_EPOCHFILE_H
#define KEYSVC_EPOCHFILE_H

#include "crypto/generation.h"

enum epochfile_result {
	EPOCHFILE_OK,
	EPOCHFILE_NONE, /* there is no file yet */
	EPOCHFILE_DAMAGED, /* not ours, or broken: *out is empty */
	EPOCHFILE_FAILED, /* errno */
};

enum epochfile_result epochfile_read(const char *path, struct generations *out);
int epochfile_write(const char *path, const struct generations *)
    __attribute__((warn_unused_result)); /* 0, -1: errno */

#endif
