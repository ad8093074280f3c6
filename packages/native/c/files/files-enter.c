// pouch-files: becomes a process that reaches one container's files and nothing else. Of a running container it enters the mount namespace and the root; of
// one that does not run it mounts what its root is made of in a mount namespace of its own, which the kernel takes away with this process.
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_open_tree
#define SYS_open_tree 428
#define SYS_move_mount 429
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#define CLONE_OF_TREE 1u
#define MOVE_FROM_EMPTY_PATH 0x04u
#define READ_ONLY 1u
#define BINDS_MAX 512u

// Of a running container.
static int process_mounts = -1, process_root = -1;
// Of one that does not run, as argv has it.
static char **mounting;
static struct bind { int tree; bool directory; const char *target; } binds[BINDS_MAX];
static size_t bind_count;

static int open_of_process(const char *pid, const char *what, int flags)
{
	char path[64];
	if (strspn(pid, "0123456789") != strlen(pid) || strlen(pid) > 10) give_up(EINVAL, "%s: no process id", pid);
	snprintf(path, sizeof path, "/proc/%s/%s", pid, what);
	int fd = open(path, flags | O_CLOEXEC);
	if (fd < 0) give_up(errno == ENOENT ? ESRCH : errno, "%s", path);
	return fd;
}

// Opens the way into a process's root. Whether it is still the container's is for the other side to ask before it says GO.
void open_process(const char *pid)
{
	struct stat theirs, ours;
	process_mounts = open_of_process(pid, "ns/mnt", O_RDONLY);
	process_root = open_of_process(pid, "root", O_PATH | O_DIRECTORY);
	if (fstat(process_mounts, &theirs) < 0 || stat("/proc/self/ns/mnt", &ours) < 0) give_up(errno, "/proc/self/ns/mnt");
	// A number that the kernel has given to somebody else since.
	if (theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino) give_up(ESRCH, "process %s has the root of the host", pid);
}

// TYPE SOURCE DATA DIRECTORY TARGET ro|rw { SOURCE TARGET ro|rw recursive|single }
void open_mounts(char **arguments)
{
	for (size_t i = 0; i < 6; i++)
		if (arguments[i] == NULL) give_up(EINVAL, "arguments of the mount are missing");
	mounting = arguments;
}

static void set_read_only(int at, const char *path, unsigned flags)
{
	const struct { uint64_t set, clear, propagation, userns; } attributes = { READ_ONLY, 0, 0, 0 };
	if (syscall(SYS_mount_setattr, at, path, flags, &attributes, sizeof attributes) < 0) give_up(errno, "%s could not be made read-only", path);
}

// Before the root is mounted: sources are paths of the host.
static void open_binds(char **at)
{
	struct stat status;
	for (; at[0] != NULL; at += 4) {
		if (at[1] == NULL || at[2] == NULL || at[3] == NULL) give_up(EINVAL, "arguments of a bind are missing");
		if (bind_count == BINDS_MAX) give_up(E2BIG, "more than %u binds", BINDS_MAX);
		unsigned recursive = strcmp(at[3], "recursive") == 0 ? 0x8000u /* AT_RECURSIVE */ : 0;
		long tree = syscall(SYS_open_tree, AT_FDCWD, at[0], CLONE_OF_TREE | O_CLOEXEC | recursive);
		if (tree < 0 || fstat((int)tree, &status) < 0) give_up(errno, "%s", at[0]);
		if (strcmp(at[2], "ro") == 0) set_read_only((int)tree, "", 0x1000u /* AT_EMPTY_PATH */ | recursive);
		binds[bind_count++] = (struct bind){ (int)tree, S_ISDIR(status.st_mode), at[1] };
	}
}

// Makes the mount point as a runtime does: inside the root, links and all.
static void make_mount_point(const struct bind *bind)
{
	char path[FILES_PATH_MAX + 1];
	if (strlen(bind->target) > FILES_PATH_MAX || bind->target[0] != '/') give_up(EINVAL, "%s: no mount point", bind->target);
	strcpy(path, bind->target);
	for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST) give_up(errno, "mount point %s", path);
		*slash = '/';
	}
	if (access(path, F_OK) == 0) return;
	if (bind->directory) {
		if (mkdir(path, 0755) < 0) give_up(errno, "mount point %s", path);
		return;
	}
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	if (fd < 0) give_up(errno, "mount point %s", path);
	close(fd);
}

static void enter_mounts(void)
{
	const char *type = mounting[0], *source = mounting[1], *data = mounting[2], *directory = mounting[3], *target = mounting[4];
	bool bind = strcmp(type, "bind") == 0;
	if (unshare(CLONE_NEWNS) < 0) give_up(errno, "a mount namespace");
	// What the host unmounts goes here, too, so that nothing is held; what is mounted here stays here.
	if (mount("", "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) give_up(errno, "mounts of the host");
	open_binds(mounting + 6);
	if (chdir(directory) < 0) give_up(errno, "%s", directory);
	if (mount(source, target, bind ? NULL : type, bind ? MS_BIND : MS_NODEV | MS_NOSUID | MS_NOEXEC, data) < 0) give_up(errno, "the container's root could not be mounted");
	if (chdir(target) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) give_up(errno, "the container's root could not be entered");
	for (size_t i = 0; i < bind_count; i++) {
		make_mount_point(&binds[i]);
		if (syscall(SYS_move_mount, binds[i].tree, "", AT_FDCWD, binds[i].target, MOVE_FROM_EMPTY_PATH) < 0) give_up(errno, "%s could not be mounted", binds[i].target);
		close(binds[i].tree);
	}
	// Last, for it was written to for the mount points.
	if (strcmp(mounting[5], "ro") == 0) set_read_only(AT_FDCWD, "/", 0);
}

void enter(void)
{
	if (process_mounts < 0) {
		enter_mounts();
		return;
	}
	if (setns(process_mounts, CLONE_NEWNS) < 0 || fchdir(process_root) < 0 || chroot(".") < 0) give_up(errno, "the container's root could not be entered");
	close(process_mounts);
	close(process_root);
}
