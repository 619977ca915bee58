package controlplane

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// orphanDir, when set, turns the test binary into a program that starts a
// control plane in that folder, prints the process ids and waits to be killed.
const orphanDir = "CONTROLPLANE_TEST_ORPHAN_DIR"

func TestMain(m *testing.M) {
	dir := os.Getenv(orphanDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	c, err := Start(context.Background(), Options{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, pid := range pidsOf(c) {
		fmt.Print(pid, " ")
	}
	fmt.Println()
	fmt.Fprintln(os.Stderr, c.Wait(context.Background()))
	os.Exit(1)
}

// Children die with a parent that is killed without a chance to stop them.
func TestChildrenDieWithUs(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), orphanDir+"="+t.TempDir())
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if killErr := parent.Process.Kill(); err != nil || killErr != nil {
		t.Fatal(err, killErr)
	}
	_ = parent.Wait()

	pids := strings.Fields(line)
	if len(pids) != 2 {
		t.Fatalf("got process ids %q, want two", pids)
	}
	for _, text := range pids {
		pid, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "process "+text+" is gone", func() bool { return gone(pid) })
	}
}

// gone reports whether a process is no more, or waits only to be reaped by
// whoever has inherited it.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return true
	}
	_, afterName, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(afterName, "Z")
}
