// pouch-files: from a path to a descriptor. The program's root is the container's, so nothing leads out of it; links of /proc that lead to the files of
// other processes are followed by nobody.
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#define RESOLVE_NO_MAGICLINKS 0x02u
#define LINKS_MAX 255u

int open_path(int directory, const char *path, uint64_t flags)
{
	struct { uint64_t flags, mode, resolve; } how = { flags | O_CLOEXEC, 0, RESOLVE_NO_MAGICLINKS };
	long fd = syscall(SYS_openat2, directory, path, &how, sizeof how);
	// Kernels before 5.6 do not have it. Those are guests': a host's are newer.
	if (fd < 0 && errno == ENOSYS) fd = openat(directory, path, (int)flags | O_CLOEXEC);
	return (int)fd;
}

// The directory that holds the last part of `path`, which `name` is pointed to. A path without a parent is of `directory` itself.
int open_parent(int directory, const char *path, const char **name)
{
	char parent[FILES_PATH_MAX + 1];
	const char *slash = strrchr(path, '/');
	*name = slash == NULL ? path : slash + 1;
	size_t length = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
	memcpy(parent, path, length);
	parent[length] = '\0';
	return open_path(directory, length == 0 ? "." : parent, O_PATH | O_DIRECTORY);
}

// Puts what a link says before what is still to be looked at.
static void prepend(char rest[2 * FILES_PATH_MAX + 2], const char *link)
{
	char old[2 * FILES_PATH_MAX + 2];
	snprintf(old, sizeof old, "%s", rest);
	int length = snprintf(rest, 2 * FILES_PATH_MAX + 2, "%s/%s", link, old);
	if (length < 0 || (size_t)length > 2 * FILES_PATH_MAX) give_up(ENAMETOOLONG, "a chain of links is too long");
}

// Where `path` ends with every link followed, as far as there is something: a broken link gives where it points to.
void final_target(const char *path, char target[FILES_PATH_MAX + 1])
{
	static char rest[2 * FILES_PATH_MAX + 2], link[FILES_PATH_MAX + 1];
	size_t done = 0;
	unsigned links = 0;
	snprintf(rest, sizeof rest, "%s", path);
	for (char *at = rest; *at != '\0';) {
		size_t length = strcspn(at, "/");
		if (length == 0 || (length == 1 && at[0] == '.')) {
			at += length + (at[length] == '/' ? 1 : 0);
			continue;
		}
		if (length == 2 && at[0] == '.' && at[1] == '.') {
			while (done > 0 && target[--done] != '/') continue;
			at += length + (at[length] == '/' ? 1 : 0);
			continue;
		}
		if (done + 1 + length > FILES_PATH_MAX) give_up(ENAMETOOLONG, "a chain of links is too long");
		target[done] = '/';
		memcpy(target + done + 1, at, length);
		target[done + 1 + length] = '\0';
		ssize_t size = readlink(target, link, FILES_PATH_MAX);
		at += length + (at[length] == '/' ? 1 : 0);
		if (size < 0) {
			done += 1 + length;
			continue;
		}
		if (++links > LINKS_MAX) give_up(ELOOP, "%s", path);
		link[size] = '\0';
		memmove(rest, at, strlen(at) + 1);
		prepend(rest, link);
		at = rest;
		if (link[0] == '/') done = 0;
	}
	if (done == 0) target[done++] = '/';
	target[done] = '\0';
}
