// pouch-files: makes files as it is told, below a directory of the root that was entered, in the order of Docker's Untar: what stands in the way goes,
// missing directories come, then owner, mode, capability and time. A file that is cut off is taken away again.
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define IMPLIED_MODE 0755 // of directories that nobody told of

static struct entry entry;
static int destination;
static uint32_t flags, owner, group;
// The regular file whose bytes are awaited.
static int parent = -1, file = -1;
static const char *name;
static uint64_t left;

void (*once_written)(void);

// Called from a handler of signals, too.
static void discard_half_file(void)
{
	if (file < 0) return;
	close(file);
	file = -1;
	unlinkat(parent, name, 0);
}

// Only names below the destination: whoever reads the tar has seen to it, and here it is looked at again.
static void require_inside(const char *path)
{
	if (path[0] == '/') give_up(EINVAL, "%s: an absolute path", path);
	for (const char *at = path; *at != '\0'; at += strcspn(at, "/"), at += *at == '/' ? 1 : 0)
		if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == '\0')) give_up(EINVAL, "%s leads out of the directory", path);
}

// Makes the directories on the way to `path` that are missing.
static int make_parents(const char *path)
{
	char above[FILES_PATH_MAX + 1];
	strcpy(above, path);
	for (char *slash = strchr(above, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		const char *directory;
		*slash = '\0';
		int higher = open_parent(destination, above, &directory);
		if (higher < 0) return -1;
		int made = mkdirat(higher, directory, IMPLIED_MODE), code = errno;
		close(higher);
		errno = code;
		if (made < 0 && code != EEXIST) return -1;
		*slash = '/';
	}
	return 0;
}

// The directory that holds `path`, made where it is missing.
static int parent_of(const char *path, const char **last)
{
	int fd = open_parent(destination, path, last);
	if (fd >= 0 || errno != ENOENT || *last == path) return fd;
	return make_parents(path) < 0 ? -1 : open_parent(destination, path, last);
}

static uint32_t type_of(const struct entry *of)
{
	return of->mode & S_IFMT;
}

// Takes away what the entry is to replace.
static void clear_way(void)
{
	struct stat there;
	bool directory = type_of(&entry) == S_IFDIR;
	if (fstatat(parent, name, &there, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT) give_up(errno, "%s", entry.path);
		return;
	}
	if (S_ISDIR(there.st_mode) && directory) return;
	if (S_ISDIR(there.st_mode) && (flags & FILES_NO_OVERWRITE) != 0) give_up(EEXIST, "cannot overwrite directory \"%s\" with non-directory \"%s\"", entry.path, entry.path);
	if (directory && (flags & FILES_NO_OVERWRITE) != 0) give_up(EEXIST, "cannot overwrite non-directory \"%s\" with directory \"%s\"", entry.path, entry.path);
	int code = remove_tree(parent, name, 0);
	if (code != 0) give_up(code, "%s could not be replaced", entry.path);
}

static void set_times(int directory, const char *of)
{
	const struct timespec time = { (time_t)entry.mtime, (long)(entry.mtime_ns % 1000000000u) };
	if (utimensat(directory, of, (const struct timespec[]){ time, time }, AT_SYMLINK_NOFOLLOW) < 0) give_up(errno, "the time of %s could not be set", entry.path);
}

static void set_owner(void)
{
	bool owned = (flags & FILES_OWNED) != 0;
	if (fchownat(parent, name, owned ? owner : entry.uid, owned ? group : entry.gid, AT_SYMLINK_NOFOLLOW) < 0) give_up(errno, "the owner of %s could not be set", entry.path);
}

// All but symbolic links, whose mode says nothing. By descriptor where there is one, so that no link that has come meanwhile is followed.
static void set_mode(int fd)
{
	if ((fd >= 0 ? fchmod(fd, entry.mode & 07777) : fchmodat(parent, name, entry.mode & 07777, 0)) < 0) give_up(errno, "the mode of %s could not be set", entry.path);
}

static void finish_file(void)
{
	if (file < 0) return;
	bool owned = (flags & FILES_OWNED) != 0;
	if (fchown(file, owned ? owner : entry.uid, owned ? group : entry.gid) < 0) give_up(errno, "the owner of %s could not be set", entry.path);
	set_mode(file);
	if (entry.capability_length > 0 && fsetxattr(file, "security.capability", entry.capability, entry.capability_length, 0) < 0 && errno != ENOTSUP)
		give_up(errno, "the capabilities of %s could not be set", entry.path);
	const struct timespec time = { (time_t)entry.mtime, (long)(entry.mtime_ns % 1000000000u) };
	if (futimens(file, (const struct timespec[]){ time, time }) < 0) give_up(errno, "the time of %s could not be set", entry.path);
	int closed = close(file);
	file = -1;
	if (closed < 0) give_up(errno, "%s could not be written", entry.path);
}

static void make_directory(void)
{
	if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST) give_up(errno, "%s could not be made", entry.path);
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) give_up(errno, "%s", entry.path);
	set_owner();
	set_mode(fd);
	close(fd);
	set_times(parent, name);
}

static void make_hard_link(void)
{
	const char *last;
	require_inside(entry.link);
	int from = open_parent(destination, entry.link, &last);
	if (from < 0 || linkat(from, last, parent, name, 0) < 0) give_up(errno, "%s could not be linked to %s", entry.path, entry.link);
	close(from);
}

static void make_special(void)
{
	if (mknodat(parent, name, (mode_t)(type_of(&entry) | 0600), makedev(entry.major, entry.minor)) < 0) give_up(errno, "%s could not be made", entry.path);
	set_owner();
	set_mode(-1);
	set_times(parent, name);
}

static void make_symbolic_link(void)
{
	if (symlinkat(entry.link, parent, name) < 0) give_up(errno, "%s could not be made", entry.path);
	set_owner();
	set_times(parent, name);
}

static void begin_file(void)
{
	file = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (file < 0) give_up(errno, "%s could not be made", entry.path);
	left = entry.size;
	if (left == 0) finish_file();
}

static void take_entry(const unsigned char *payload, size_t length)
{
	read_entry(&entry, payload, length);
	require_inside(entry.path);
	// The destination itself is there and stays as it is.
	if (entry.path[0] == '\0') {
		if (type_of(&entry) != S_IFDIR) give_up(EINVAL, "an entry without a name");
		return;
	}
	if (parent >= 0) close(parent);
	parent = parent_of(entry.path, &name);
	if (parent < 0) give_up(errno, "%s", entry.path);
	clear_way();
	switch (type_of(&entry)) {
	case S_IFREG: begin_file(); break;
	case S_IFDIR: make_directory(); break;
	case S_IFLNK: make_symbolic_link(); break;
	case FILES_HARD_LINK: make_hard_link(); break;
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO: make_special(); break;
	default: give_up(EINVAL, "%s: no kind of file that can be made", entry.path);
	}
}

static void take_bytes(const unsigned char *bytes, size_t length)
{
	if (file < 0 || length > left) give_up(EPROTO, "bytes that belong to no file");
	left -= length;
	while (length > 0) {
		ssize_t done = write(file, bytes, length);
		if (done < 0 && errno == EINTR) continue;
		if (done <= 0) give_up(done < 0 ? errno : EIO, "%s could not be written", entry.path);
		bytes += done;
		length -= (size_t)done;
	}
	if (left == 0) finish_file();
}

static void take_times(const unsigned char *payload, size_t length)
{
	const char *last;
	read_entry(&entry, payload, length);
	require_inside(entry.path);
	int directory = open_parent(destination, entry.path, &last);
	struct stat status;
	// Replaced or gone since: by a later entry, or by the container.
	if (directory >= 0 && fstatat(directory, last, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode)) set_times(directory, last);
	if (directory >= 0) close(directory);
}

static void open_destination(const char *path)
{
	struct stat status, root;
	struct statvfs system;
	destination = open_path(AT_FDCWD, path, O_PATH);
	if (destination < 0 || fstat(destination, &status) < 0) give_up(errno, "%s", path);
	if (!S_ISDIR(status.st_mode)) give_up(ENOTDIR, "extraction point is not a directory");
	if (fstatvfs(destination, &system) < 0) give_up(errno, "%s", path);
	if ((system.f_flag & ST_RDONLY) == 0) return;
	give_up(EROFS, stat("/", &root) == 0 && root.st_dev == status.st_dev ? "container rootfs is marked read-only" : "mounted volume is marked read-only");
}

void extract(const char *path, uint32_t asked, uint32_t uid, uint32_t gid)
{
	uint8_t op;
	const unsigned char *payload;
	size_t length;
	flags = asked;
	owner = uid;
	group = gid;
	open_destination(path);
	before_giving_up = discard_half_file;
	send_frame(FILES_READY, NULL, 0);
	while (take_frame(&op, &payload, &length)) {
		if (op == FILES_DATA) {
			take_bytes(payload, length);
			continue;
		}
		if (file >= 0) give_up(EPROTO, "%s is not whole", entry.path);
		if (op == FILES_ENTRY) take_entry(payload, length);
		else if (op == FILES_TIMES) take_times(payload, length);
		else if (op == FILES_END) {
			if (once_written != NULL) once_written();
			send_frame(FILES_END, NULL, 0);
			return;
		} else give_up(EPROTO, "operation %u while files are made", op);
	}
	// Cut off.
	discard_half_file();
}
