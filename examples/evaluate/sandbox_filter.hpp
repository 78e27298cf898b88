#pragma once
// Which system calls a generated program may make: a seccomp filter (Linux, x86-64 and AArch64; classic BPF, as in seccomp(2)). It needs no
// privileges and holds for whatever the program starts. Refused: files opened for writing, created, renamed or removed; sockets; other
// processes, made or signalled. A pair of connected sockets is left, which asyncio needs.

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace evaluation {

/// Made before the fork, because it allocates; installed behind it.
class system_call_filter {
 public:
  system_call_filter() {
#if defined(__x86_64__)
    arch_ = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
    arch_ = AUDIT_ARCH_AARCH64;
#endif
    load(offsetof(seccomp_data, arch));
    add(BPF_JMP | BPF_JEQ | BPF_K, arch_, 1, 0), add(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    load(offsetof(seccomp_data, nr));
#if defined(__x86_64__)  // the x32 numbers would go past the list
    add(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1), add(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    for (long n : {SYS_open}) flags(n, 1);
    for (long n : {SYS_creat, SYS_unlink, SYS_rename, SYS_rmdir, SYS_mkdir, SYS_link, SYS_symlink, SYS_mknod, SYS_chmod, SYS_chown, SYS_lchown, SYS_utime, SYS_utimes, SYS_futimesat})
      refuse(n, EACCES);
    for (long n : {SYS_fork, SYS_vfork}) refuse(n, EAGAIN);
#endif
    flags(SYS_openat, 2);
    for (long n : {SYS_openat2, SYS_clone3}) refuse(n, ENOSYS);  // the C library then falls back on calls whose arguments can be seen
    for (long n : {SYS_unlinkat, SYS_renameat, SYS_renameat2, SYS_mkdirat, SYS_linkat, SYS_symlinkat, SYS_mknodat, SYS_truncate, SYS_ftruncate, SYS_fallocate, SYS_fchmod, SYS_fchmodat,
                   SYS_fchown, SYS_fchownat, SYS_utimensat, SYS_setxattr, SYS_lsetxattr, SYS_fsetxattr, SYS_removexattr, SYS_lremovexattr, SYS_fremovexattr, SYS_memfd_create})
      refuse(n, EACCES);
    for (long n : {SYS_socket, SYS_connect, SYS_bind, SYS_listen, SYS_sendmsg, SYS_sendmmsg}) refuse(n, EACCES);
    for (long n : {SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_pidfd_open, SYS_pidfd_getfd, SYS_pidfd_send_signal, SYS_tkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo,
                   SYS_setsid, SYS_setpgid, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_unshare, SYS_setns, SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,
                   SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_keyctl, SYS_add_key, SYS_request_key, SYS_shmget, SYS_msgget, SYS_semget, SYS_mq_open, SYS_setpriority, SYS_sched_setscheduler})
      refuse(n, EPERM);
    // A thread is no process; threads are bounded by memory and RLIMIT_NPROC.
    on(SYS_clone, {load_of(0), {BPF_JMP | BPF_JSET | BPF_K, 1, 0, CLONE_THREAD}, denied(EAGAIN), allowed()});
    // Data sent along a pair of sockets has no address.
    on(SYS_sendto, {load_of(4), {BPF_JMP | BPF_JEQ | BPF_K, 0, 3, 0}, load_of(4, 4), {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0}, allowed(), denied(EACCES)});
    on(SYS_prlimit64, {load_of(0), {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0}, denied(EPERM), allowed()});
    for (long n : {SYS_kill, SYS_tgkill}) {  // to itself alone, as abort() does
      on(n, {load_of(0), {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0}, denied(EPERM), allowed()});
      own_.push_back(code_.size() - 3);
    }
    code_.push_back(allowed());
  }

  /// Whether this machine's calls are known.
  bool known() const { return arch_ != 0; }

  /// For the calling process, for good. False, with errno, where the kernel has no seccomp. Allocates nothing.
  bool install() {
    for (std::size_t at : own_) code_[at].k = uint32_t(::getpid());
    sock_fprog const program{static_cast<unsigned short>(code_.size()), code_.data()};
    return known() && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
  }

 private:
  static constexpr sock_filter allowed() { return {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}; }
  static constexpr sock_filter denied(int error) { return {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | uint32_t(error)}; }
  /// Half of an argument; both machines are little-endian, so the low half comes first.
  static constexpr sock_filter load_of(int argument, int half = 0) { return {BPF_LD | BPF_W | BPF_ABS, 0, 0, uint32_t(offsetof(seccomp_data, args) + 8 * std::size_t(argument) + std::size_t(half))}; }
  void add(int code, uint32_t k, int yes = 0, int no = 0) { code_.push_back({uint16_t(code), uint8_t(yes), uint8_t(no), k}); }
  void load(std::size_t offset) { add(BPF_LD | BPF_W | BPF_ABS, uint32_t(offset)); }
  void on(long number, std::initializer_list<sock_filter> what) {
    add(BPF_JMP | BPF_JEQ | BPF_K, uint32_t(number), 0, int(what.size()));
    code_.insert(code_.end(), what);
  }
  void refuse(long number, int error) { on(number, {denied(error)}); }
  void flags(long number, int argument) {
    on(number, {load_of(argument), {BPF_JMP | BPF_JSET | BPF_K, 0, 1, O_WRONLY | O_RDWR | O_CREAT | O_TRUNC}, denied(EACCES), allowed()});
  }

  uint32_t arch_ = 0;
  std::vector<sock_filter> code_;
  std::vector<std::size_t> own_;  // where the process' own number belongs
};

}  // namespace evaluation
