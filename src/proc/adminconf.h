/*
 * adminconf.h: the option group `admin` that the three daemons' configurations share, and its sockets.
 * Whoever owns the table of options adds ADMINCONF_OPTIONS to it.
 */
#ifndef PROC_ADMINCONF_H
#define PROC_ADMINCONF_H

#include "base/conf.h"
#include "proc/admin.h"

struct adminconf {
	char *address; /* "127.0.0.1:9901"; NULL: none */
	char *socket; /* a path; NULL: the default, if there is one */
	struct conf_strings names;
};

/* at(field): the offset of that field of the struct adminconf in the daemon's configuration. */
#define ADMINCONF_OPTIONS(at_)                                                                     \
	{ .path = "admin",                                                                         \
		.type = CONF_GROUP,                                                                \
		.help = "how this daemon can be watched and told: pages, metrics, sslgwctl" },     \
	    { .path = "admin.address",                                                             \
		    .type = CONF_STRING,                                                           \
		    .at = at_(address),                                                            \
		    .help = "HTTP address of status and metrics, read only: \"127.0.0.1:9901\"" }, \
	    { .path = "admin.socket",                                                              \
		    .type = CONF_PATH,                                                             \
		    .at = at_(socket),                                                             \
		    .help = "Unix socket of the same, which takes commands too; default: "         \
			    "admin.sock in the runtime folder" },                                  \
	{                                                                                          \
		.path = "admin.names", .type = CONF_STRINGS, .at = at_(names),                     \
		.help = "host names by which address is asked, besides this machine's own"         \
	}

/* Adds what is wrong with the text. */
void adminconf_check(const struct adminconf *, struct conf_errors *);

/* The sockets that an admin serves. */
struct adminconf_sockets {
	int tcp, local; /* listening; -1: none */
	char path[108]; /* of local; "": none */
	char address[64]; /* of tcp, with the port that was picked; "": none */
	bool lost; /* path is gone, and it was said that it cannot be made again */
	/* Where they are served by who opened them: */
	struct admin *admin;
	struct loop *loop;
	struct deadline watch;
};

/* Opens them. folder: where admin.sock lies by default, NULL: nowhere. A default that cannot be had is said and
 * left out. 0, or -1: why (file and line of the option) has been said in the log. */
int adminconf_open(struct adminconf_sockets *, const struct adminconf *, const char *folder);
/* If somebody removed the Unix socket's path, makes another one, in local, and says so. -1: nothing was done: it is
 * there, or it cannot be made, which is said once. */
int adminconf_mend(struct adminconf_sockets *);
/* The Unix socket alone, at that path. 0, -1: errno. */
int adminconf_open_local(struct adminconf_sockets *, const char *path);
void adminconf_close(
    struct adminconf_sockets *, bool remove); /* remove: the Unix socket's file, too */
/* $RUNTIME_DIRECTORY, which systemd sets: the first of its folders, into buf. NULL: there is none. */
const char *adminconf_runtime_folder(char *buf, size_t size);

/* What of the configuration admin_new() needs: names. They stay borrowed. */
void adminconf_params(const struct adminconf *, struct admin_params *);
/* Gives the sockets to an admin; they are its own after. Where the path of local is known, it is looked at each
 * second from then on, and made again, until adminconf_close(), which comes before admin and loop end. 0, -1. */
int adminconf_serve(struct loop *, struct adminconf_sockets *, struct admin *);

#endif
