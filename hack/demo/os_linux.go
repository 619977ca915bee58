package main

import "syscall"

// childAttr has the kernel kill the child when we die, even of SIGKILL, and
// keeps a Ctrl-C in the terminal from reaching it, so that run decides the
// order.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
