/*
 * service_bed.h: one service, and callers that do what the test says.
 */
#ifndef SERVICE_BED_H
#define SERVICE_BED_H

#include "net/service.h"

#include "sim.h"

enum { CALLS_MAX = 256, CLIENTS_MAX = 8 };

struct bed;

struct client {
	int fd;
	char in[8192];
	size_t len;
};

struct bed {
	struct loop *loop;
	struct service *service;
	struct service_params params;
	struct sim_server at; /* for its path alone */
	struct client clients[CLIENTS_MAX];
	struct call *calls[CALLS_MAX]; /* in the order of their coming; NULL: answered */
	char asked[CALLS_MAX][32];
	int calls_n, gone_n, drained_n;
	bool echo; /* answer at once with the request */
	bool reply_gone; /* answer within gone() */
	bool close_all, free_all;
	char *big; /* with echo: answer with this */
	size_t big_len;
	struct identity identity;
};

void bed_answer(struct bed *bed, int i, const char *text);
int bed_setup(void **state);
int bed_teardown(void **state);
void bed_start(struct bed *bed);
void bed_client(struct bed *bed, int i);
void bed_say(struct bed *bed, int i, const char *text);
bool bed_got(struct bed *bed, int i, const char *text);
void bed_hang_up(struct bed *bed, int i);
void bed_drained(void *arg);

#endif
