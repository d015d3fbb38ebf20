/*
 * listener.h: accepts connections on one listening descriptor, up to LISTENER_BATCH a turn.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "net/endpoint.h"
#include "net/loop.h"

enum { LISTENER_BATCH = 32 };

struct listener;

/* accepted() owns fd (non-blocking, close-on-exec). The listener owns its descriptor. NULL: no memory.
 * On EMFILE and ENFILE it pauses for 100 ms and goes on; failed() (may be NULL) is told the errno. */
struct listener *listener_new(struct loop *, int fd,
    void (*accepted)(void *arg, struct listener *, int fd, const struct endpoint *peer),
    void (*failed)(void *arg, int err), void *arg);
void listener_pause(struct listener *);
void listener_resume(struct listener *);
int listener_fd(const struct listener *);
const struct endpoint *listener_local(const struct listener *);
void listener_free(struct listener *); /* closes the descriptor */

/* A listening socket: SO_REUSEADDR, SO_REUSEPORT where reuseport, backlog 4096. -1: errno. */
int listener_socket(const struct endpoint *, bool reuseport);
/* In two steps: until the second, a socket has its port, and no connection comes to it. */
int listener_bind(const struct endpoint *, bool reuseport);
int listener_listen(int fd);

#endif
