/*
 * replay.c: runs a fuzz target over the files of its corpus, with any compiler: so that what a fuzzer
 * once found is tried by make check. Linked with one t/fuzz/fuzz_NAME.c each; no arguments: CORPUS.
 */
#include <dirent.h>
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/poison.h"

#define FILE_MAX (1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void replay(const char *folder, const char *name)
{
	char path[1024];
	uint8_t *data = malloc(FILE_MAX), *copy;
	size_t size;
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	if (data == NULL || (f = fopen(path, "re")) == NULL)
		err(1, "%s", path);
	size = fread(data, 1, FILE_MAX, f);
	fclose(f);
	copy = realloc(
	    data, size > 0 ? size : 1); /* just its size: a sanitizer sees a read past it */
	if (copy == NULL)
		err(1, NULL);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

int main(int argc, char **argv)
{
	const char *folder = argc > 1 ? argv[1] : CORPUS;
	struct dirent *entry;
	unsigned count = 0;
	DIR *dir = opendir(folder);

	if (dir == NULL)
		err(1, "%s", folder);
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		replay(folder, entry->d_name);
		count++;
	}
	closedir(dir);
	printf("%s: %u inputs\n", folder, count);
	return count > 0 ? 0 : 1;
}
