// pouch-files: takes away what stands where something else is to come, with all that is below it, and follows no link.
#define _GNU_SOURCE
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int remove_below(int directory, unsigned depth)
{
	int code = 0;
	DIR *list = fdopendir(directory);
	if (list == NULL) {
		code = errno;
		close(directory);
		return code;
	}
	for (struct dirent *found; code == 0 && (found = readdir(list)) != NULL;)
		if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0) code = remove_tree(dirfd(list), found->d_name, depth + 1);
	closedir(list);
	return code;
}

// Answers with errno; what is not there has been removed.
int remove_tree(int directory, const char *name, unsigned depth)
{
	if (depth > FILES_DEPTH_MAX) return ENAMETOOLONG;
	if (unlinkat(directory, name, 0) == 0 || errno == ENOENT) return 0;
	if (errno != EISDIR && errno != EPERM) return errno;
	int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) return errno;
	int code = remove_below(fd, depth);
	return code != 0 || unlinkat(directory, name, AT_REMOVEDIR) == 0 ? code : errno;
}
