//go:build !linux

package main

import "syscall"

// Elsewhere the operator outlives us if we are killed.
func childAttr() *syscall.SysProcAttr { return nil }
