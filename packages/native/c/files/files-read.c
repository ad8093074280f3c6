// pouch-files: tells of files and reads them. What vanishes or cannot be read while a directory is read is left out, as Docker does; what has been told
// is sent whole or the reading ends with an error.
#define _GNU_SOURCE
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

static struct entry entry;
static bool from_root;

static void describe(const struct stat *status)
{
	entry.mode = status->st_mode;
	entry.uid = status->st_uid;
	entry.gid = status->st_gid;
	entry.links = (uint32_t)status->st_nlink;
	entry.major = major(status->st_rdev);
	entry.minor = minor(status->st_rdev);
	entry.mtime = status->st_mtim.tv_sec;
	entry.mtime_ns = (uint32_t)status->st_mtim.tv_nsec;
	entry.size = (uint64_t)status->st_size;
	entry.device = status->st_dev;
	entry.inode = status->st_ino;
	entry.link[0] = '\0';
	entry.capability_length = 0;
}

static void send_bytes(int fd, uint64_t size)
{
	static unsigned char bytes[FILES_MAX_PAYLOAD];
	for (uint64_t left = size; left > 0;) {
		ssize_t got = read(fd, bytes, left < sizeof bytes ? (size_t)left : sizeof bytes);
		if (got < 0 && errno == EINTR) continue;
		if (got < 0) give_up(errno, "%s could not be read to its end", entry.path);
		if (got == 0) give_up(EBUSY, "%s became shorter while it was read", entry.path);
		send_frame(FILES_DATA, bytes, (size_t)got);
		left -= (uint64_t)got;
	}
}

// Each of these answers with errno, or 0 when it has been sent.
static int send_file(int parent, const char *name)
{
	struct stat status;
	// O_NONBLOCK: what took a regular file's place meanwhile may be a FIFO.
	int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0) return errno;
	int code = fstat(fd, &status) < 0 ? errno : S_ISREG(status.st_mode) ? 0 : ENOENT;
	if (code == 0) {
		describe(&status);
		ssize_t length = fgetxattr(fd, "security.capability", entry.capability, sizeof entry.capability);
		entry.capability_length = length > 0 ? (size_t)length : 0;
		send_entry(FILES_ENTRY, &entry);
		send_bytes(fd, entry.size);
	}
	close(fd);
	return code;
}

static int send_link(int parent, const char *name, const struct stat *status)
{
	describe(status);
	ssize_t length = readlinkat(parent, name, entry.link, FILES_PATH_MAX);
	if (length < 0) return errno;
	entry.link[length] = '\0';
	send_entry(FILES_ENTRY, &entry);
	return 0;
}

// File systems that show the kernel: what stands in them are no files of the container. Docker sees none of them either.
static bool shows_kernel(int directory)
{
	static const unsigned long kinds[] = { 0x9fa0 /* proc */, 0x62656572 /* sysfs */, 0x27e0eb, 0x63677270 /* cgroups */, 0x1cd1 /* devpts */, 0x19800202 /* mqueue */,
		0xcafe4a11 /* bpf */, 0x64626720 /* debugfs */, 0x73636673 /* securityfs */, 0x74726163 /* tracefs */, 0x6e736673 /* nsfs */ };
	struct statfs status;
	if (fstatfs(directory, &status) < 0) return false;
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if ((unsigned long)status.f_type == kinds[i]) return true;
	return false;
}

static int send_any(int parent, const char *name, unsigned depth);

static void send_below(int directory, unsigned depth)
{
	if (depth > FILES_DEPTH_MAX) give_up(ENAMETOOLONG, "%s: more than %u directories in each other", entry.path, FILES_DEPTH_MAX);
	DIR *list = fdopendir(directory);
	if (list == NULL) give_up(errno, "%s", entry.path);
	size_t length = strlen(entry.path);
	for (struct dirent *found; (found = readdir(list)) != NULL;) {
		if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0) continue;
		size_t name = strlen(found->d_name), slash = length > 0 ? 1 : 0;
		if (length + slash + name > FILES_PATH_MAX) give_up(ENAMETOOLONG, "%s/%s", entry.path, found->d_name);
		if (slash > 0) entry.path[length] = '/';
		memcpy(entry.path + length + slash, found->d_name, name + 1);
		send_any(dirfd(list), found->d_name, depth);
		entry.path[length] = '\0';
	}
	closedir(list);
}

static int send_directory(int parent, const char *name, unsigned depth)
{
	struct stat status, above;
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) return errno;
	if (fstat(fd, &status) < 0 || fstat(parent, &above) < 0) {
		close(fd);
		return ENOENT;
	}
	describe(&status);
	send_entry(FILES_ENTRY, &entry);
	bool mounted = depth > 0 && status.st_dev != above.st_dev;
	if (mounted && (shows_kernel(fd) || (from_root && strcmp(entry.path, "dev") == 0))) close(fd);
	else send_below(fd, depth + 1);
	return 0;
}

static int send_any(int parent, const char *name, unsigned depth)
{
	struct stat status;
	if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) < 0) return errno;
	switch (status.st_mode & S_IFMT) {
	case S_IFREG: return send_file(parent, name);
	case S_IFDIR: return send_directory(parent, name, depth);
	case S_IFLNK: return send_link(parent, name, &status);
	case S_IFSOCK: return 0; // a tar has none
	default:
		describe(&status);
		send_entry(FILES_ENTRY, &entry);
		return 0;
	}
}

// Docker's lstat: a path that ends in a slash, or is the root, is what a link leads to.
static bool names_directory(const char *path)
{
	size_t length = strlen(path);
	return path[length - 1] == '/' || (length >= 2 && strcmp(path + length - 2, "/.") == 0);
}

static int find(const char *path, struct stat *status)
{
	int fd = open_path(AT_FDCWD, path, O_PATH | (names_directory(path) ? 0 : O_NOFOLLOW));
	if (fd < 0 || fstat(fd, status) < 0) give_up(errno, "%s", path);
	describe(status);
	if (S_ISLNK(status->st_mode)) final_target(path, entry.link);
	send_entry(FILES_FOUND, &entry);
	return fd;
}

void stat_path(const char *path)
{
	struct stat status;
	close(find(path, &status));
}

void read_path(const char *path)
{
	struct stat status, root;
	const char *name;
	int fd = find(path, &status), parent = fd, code;
	if (S_ISDIR(status.st_mode)) {
		from_root = stat("/", &root) == 0 && root.st_dev == status.st_dev && root.st_ino == status.st_ino;
		code = send_directory(fd, ".", 0);
	} else {
		parent = open_parent(AT_FDCWD, path, &name);
		code = parent < 0 ? errno : send_any(parent, name, 0);
	}
	if (code != 0) give_up(code, "%s", path);
	send_frame(FILES_END, NULL, 0);
}
