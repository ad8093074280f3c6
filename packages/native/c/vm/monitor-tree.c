#define _GNU_SOURCE
#include "monitor-tree.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 8

static void empty(int parent, const char *name, int depth)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	if (list == NULL) {
		if (fd >= 0) close(fd);
		return;
	}
	for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
		if (unlinkat(fd, entry->d_name, 0) == 0 || (errno != EISDIR && errno != EPERM) || depth == 0) continue;
		empty(fd, entry->d_name, depth - 1);
		(void)unlinkat(fd, entry->d_name, AT_REMOVEDIR);
	}
	closedir(list);
}

int tree_remove(int parent, const char *name)
{
	empty(parent, name, DEPTH_MAX);
	return unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -1;
}
