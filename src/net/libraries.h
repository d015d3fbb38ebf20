/*
 * libraries.h: what -V says of the libraries that a program runs with.
 */
#ifndef NET_LIBRARIES_H
#define NET_LIBRARIES_H

#include <stdio.h>

void libraries_print(FILE *); /* "OpenSSL 3.0.2 (built with ...)", "libevent ...", a line each */

#endif
