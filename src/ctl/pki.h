/*
 * pki.h: the commands of sslgwctl pki; their table is in pki.c.
 */
#ifndef CTL_PKI_H
#define CTL_PKI_H

#include "ctl/command.h"

#define PKI_PROGRAM "sslgwctl pki"

int pki_init(const struct command *, int argc, char **argv);
int pki_issue(const struct command *, int argc, char **argv);
int pki_renew(const struct command *, int argc, char **argv);
int pki_deny(const struct command *, int argc, char **argv);
int pki_forget(const struct command *, int argc, char **argv);
int pki_list(const struct command *, int argc, char **argv);

#endif
