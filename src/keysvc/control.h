/*
 * control.h: an embedded key service's ear to its master (proc/channel.h). Keys come as descriptors:
 *
 *   "key NAME" + fd     -> "key NAME ok SKIHEX TYPE" | "key NAME error TEXT"   into the set being made
 *   "selfsigned NAMES"  -> "selfsigned PEM"; its key is in the set too. Names are parted by spaces. Or "selfsigned error TEXT"
 *   "keys-begin NUMBER" -> "keys-begun NUMBER"; drops what was read into the set being made
 *   "keys-done"         -> "keys-done ok" and the set is in force, or "keys-done error TEXT" and the former one stays.
 *                          It is the master that knows which files have to be good. Beside the new set the
 *                          keys of the former are still found: workers that are not replaced yet present its
 *                          certificates
 *   "keys-forget"       they have all been replaced: what is left of the former set goes after a minute, when
 *                          handshakes that began with its certificates are over
 *   "reload" + fd       a new text of the configuration: callers, grants, and TLS 1.2 modes of all keys
 *   "reopen" logs the counts; "drain" answers what is asked, then -> "drained" and ends; "stop" ends
 * Sent by itself: "ready", when it listens.
 */
#ifndef KEYSVC_CONTROL_H
#define KEYSVC_CONTROL_H

#include "keysvc/keysvc.h"
#include "keysvc/keysvc_conf.h"

struct control;

/* Owns fd and takes over *conf; policy is changed by a reload. The loop is stopped when the master is
 * gone or says so. NULL: no memory. */
struct control *control_new(
    struct loop *, int fd, struct keysvc *, struct keysvc_conf *, struct policy *);
void control_free(struct control *);

/* Grants and callers of conf into policy; its token stays. */
void control_policy(struct policy *, const struct keysvc_conf *);
/* The TLS 1.2 mode of a key file by that name. */
enum tls12_mode control_tls12(const struct keysvc_conf *, const char *name);
/* Whether an entry of tls12_any means the key of this file: the whole of its name, or what is behind the folder. */
bool control_names_file(const char *entry, const char *name);

#endif
