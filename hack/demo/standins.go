package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// standIns are programs that not every machine has. Where one is missing this
// program is put in its place, which then does the little that the story needs
// of it, and the story says so.
var standIns = map[string]func(args []string) error{
	"curl":      curl,
	"jq":        jq,
	"sha256sum": sha256sum,
}

// missing returns the names of the programs that have a stand-in.
func missing(dir string) []string {
	var names []string
	for name := range standIns {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// addStandIns makes a folder with a stand-in for each program that is missing,
// and puts it last in the path.
func addStandIns(dir string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name := range standIns {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if err := os.Symlink(self, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return os.Setenv("PATH", os.Getenv("PATH")+string(os.PathListSeparator)+dir)
}

// jq knows the two programs of docs/operations.md: the namespaces of all
// objects, and the objects without what an API server adds.
func jq(args []string) error {
	if len(args) < 2 {
		return errors.New("the stand-in for jq expects a program and a file")
	}
	namespaces := args[0] == "-r"
	text, err := os.ReadFile(args[len(args)-1])
	if err != nil {
		return err
	}
	var list struct {
		APIVersion string           `json:"apiVersion"`
		Kind       string           `json:"kind"`
		Items      []map[string]any `json:"items"`
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&list); err != nil {
		return err
	}
	for _, item := range list.Items {
		metadata, ok := item["metadata"].(map[string]any)
		if !ok {
			return errors.New("the stand-in for jq expects a list of Kubernetes objects")
		}
		if ns, ok := metadata["namespace"]; ok && namespaces {
			fmt.Println(ns)
		}
		for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "ownerReferences"} {
			delete(metadata, field)
		}
		delete(item, "status")
	}
	if namespaces {
		return nil
	}
	return json.NewEncoder(os.Stdout).Encode(list)
}

// sha256sum sums one file, or standard input if none is named.
func sha256sum(args []string) error {
	in, name := os.Stdin, "-"
	if len(args) > 0 {
		name = args[0]
		var err error
		if in, err = os.Open(name); err != nil {
			return err
		}
		defer in.Close()
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, in); err != nil {
		return err
	}
	fmt.Printf("%x  %s\n", hash.Sum(nil), name)
	return nil
}
