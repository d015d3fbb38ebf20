/*
 * origin_file.h: answers from a file of a folder (folder.h). It lies in its exchange and speaks in
 * later turns, as a back-end would. It is read a piece a turn, so a long file does not hold up others;
 * while the client's connection is full, nothing is read.
 */
#ifndef GATEWAY_ORIGIN_ORIGIN_FILE_H
#define GATEWAY_ORIGIN_ORIGIN_FILE_H

#include "gateway/origin/folder.h"
#include "gateway/origin/origin.h"
#include "http/write.h"

enum {
	ORIGIN_FILE_FIELDS_MAX = 8,
	ORIGIN_FILE_TAG_MAX = 40, /* quotes, two numbers in hex, a dash and a NUL */
	ORIGIN_FILE_RANGE_MAX = 80, /* "bytes ", three numbers */
	ORIGIN_FILE_TYPE_MAX = 256,
};

struct origin_file {
	struct origin origin; /* first */
	struct folder *folder;
	struct head *scratch; /* of the worker; used only while events->head runs */
	struct later later;
	int fd; /* -1: nothing to be read any more */
	uint64_t at, left; /* of the file's bytes that are sent */
	uint64_t size;
	uint16_t status;
	bool head_request;
	bool paused; /* events->body said STOP: resume() will come */
	struct field fields[ORIGIN_FILE_FIELDS_MAX]; /* values are in the arrays below, or const */
	size_t fields_n;
	char tag[ORIGIN_FILE_TAG_MAX];
	char type[ORIGIN_FILE_TYPE_MAX];
	char range[ORIGIN_FILE_RANGE_MAX];
	char modified[WRITE_DATE_SIZE], date[WRITE_DATE_SIZE];
};

/*
 * What the request comes to. 0: a file is open; then ops->start or ops->cancel. 301: a folder, whose
 * name lacks its slash. Else: a page of that status, and why.
 */
uint16_t origin_file_open(struct origin_file *, struct folder *, const struct head *request,
    struct bytes path, /* of the request, as its route was found by it */
    struct head *scratch, const struct origin_events *, void *arg, enum reason *);

#endif
