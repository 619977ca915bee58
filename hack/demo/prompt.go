package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// person is somebody at a prompt.
type person struct {
	prompt, kubeconfig string
	dir                string   // where commands run; "" is the root of the repository
	vars               []string // of the shell
}

func say(lines ...string) {
	for _, line := range lines {
		fmt.Println("# " + line)
	}
}

// run shows a command and what it prints, which it returns as well. A shell
// runs it, so that what one sees is exactly what one would type.
func (s *story) run(ctx context.Context, who *person, command string) (string, error) {
	fmt.Println(who.prompt + command)
	output, err := quietly(ctx, who, command)
	if output != "" {
		fmt.Println(output)
	}
	return output, err
}

func quietly(ctx context.Context, who *person, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Env = append(append(os.Environ(), "KUBECONFIG="+who.kubeconfig), who.vars...)
	cmd.Dir = who.dir
	cmd.SysProcAttr = childAttr()
	cmd.WaitDelay = time.Second // a child of the shell may still hold the pipe
	output, err := cmd.CombinedOutput()
	text := strings.TrimRight(strings.ReplaceAll(string(output), "\r\n", "\n"), "\n")
	if err != nil {
		return text, fmt.Errorf("this command failed: %s: %w", command, err)
	}
	return text, nil
}

// set sets a variable of a person's shell to what a command prints.
func (s *story) set(ctx context.Context, who *person, name, command string) (string, error) {
	fmt.Printf("%s%s=$(%s)\n", who.prompt, name, command)
	value, err := quietly(ctx, who, command)
	if err == nil && value == "" {
		err = fmt.Errorf("this command printed nothing: %s", command)
	}
	who.vars = append(who.vars, name+"="+value)
	return value, err
}

// expect is run for a command whose output must hold some words.
func (s *story) expect(ctx context.Context, who *person, command string, words ...string) error {
	output, err := s.run(ctx, who, command)
	if err != nil {
		return err
	}
	for _, w := range words {
		if !strings.Contains(output, w) {
			return fmt.Errorf("this command printed nothing of %q: %s", w, command)
		}
	}
	return nil
}

// refused is run for a command that must fail and say why.
func (s *story) refused(ctx context.Context, who *person, command, why string) error {
	output, err := s.run(ctx, who, command)
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		return err
	}
	if err == nil {
		return fmt.Errorf("this command should have been refused: %s", command)
	}
	if !strings.Contains(output, why) {
		return fmt.Errorf("this command was refused, but without a word of %q: %s", why, command)
	}
	return nil
}

// until waits, without a word, for what takes a moment. While there is still
// something to wait for, look says what.
func until(ctx context.Context, look func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, pollEvery, time.Minute, true, func(ctx context.Context) (bool, error) {
		err := look(ctx)
		if ctx.Err() == nil || last == nil { // else it fails of that, which says nothing
			last = err
		}
		return err == nil, nil
	})
	if wait.Interrupted(err) && last != nil {
		return fmt.Errorf("after a minute: %w", last)
	}
	return err
}
