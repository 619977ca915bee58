package coverage

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// repo is what a page can refer to.
type repo struct {
	root       string
	schemas    map[string]*apiextensionsv1.JSONSchemaProps // by kind
	resources  map[string]string                           // kinds by all names that kubectl takes; "" for a category
	selectable map[string][]string                         // fields by kind
	chapters   map[string]bool
	names      map[string]bool // of roles and policies
	packages   map[string]*tests
}

// tests are what the tests of a folder have.
type tests struct {
	functions map[string]bool
	texts     map[string]bool // string literals, which the names of rows are among
}

// Kinds of Kubernetes, with the names by which kubectl knows them.
var builtin = map[string]string{"Secret": "secret", "Namespace": "namespace", "Role": "role", "RoleBinding": "rolebinding", "Event": "event"}

func open(root string) (*repo, error) {
	r := &repo{
		root: root, schemas: map[string]*apiextensionsv1.JSONSchemaProps{}, resources: map[string]string{}, selectable: map[string][]string{},
		chapters: map[string]bool{}, names: map[string]bool{}, packages: map[string]*tests{},
	}
	for kind, name := range builtin {
		r.resources[name], r.resources[name+"s"] = kind, kind
	}
	return r, errors.Join(r.readKinds(), r.readChapters(), r.readNames())
}

func (r *repo) readKinds() error {
	files, err := filepath.Glob(filepath.Join(r.root, "config/crd/bases/*.yaml"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("there are no CRDs: %w", errors.Join(err, fs.ErrNotExist))
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(raw, &crd); err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
		n, version := crd.Spec.Names, crd.Spec.Versions[0]
		r.schemas[n.Kind] = version.Schema.OpenAPIV3Schema
		for _, name := range append(n.ShortNames, n.Plural, n.Singular) {
			r.resources[name] = n.Kind
		}
		for _, category := range n.Categories {
			r.resources[category] = ""
		}
		for _, f := range version.SelectableFields {
			r.selectable[n.Kind] = append(r.selectable[n.Kind], strings.TrimPrefix(f.JSONPath, "."))
		}
	}
	return nil
}

// A chapter of the demo is a title and the function that tells it.
var chapter = regexp.MustCompile(`\{"([^"]+)", s\.\w+\}`)

func (r *repo) readChapters() error {
	raw, err := os.ReadFile(filepath.Join(r.root, "hack/demo/story.go"))
	for _, m := range chapter.FindAllSubmatch(raw, -1) {
		r.chapters[string(m[1])] = true
	}
	if err == nil && len(r.chapters) == 0 {
		err = errors.New("hack/demo/story.go has no chapters")
	}
	return err
}

var named = regexp.MustCompile(`(?m)^  name: (license-operator-[a-z-]+)$`)

func (r *repo) readNames() error {
	r.names["license-operator-keys"] = true // the operator writes this Role
	for _, dir := range []string{"config/rbac", "config/policy"} {
		files, err := filepath.Glob(filepath.Join(r.root, dir, "*.yaml"))
		if err != nil {
			return err
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			for _, m := range named.FindAllSubmatch(raw, -1) {
				r.names[string(m[1])] = true
			}
		}
	}
	return nil
}

// testsOf reads the tests of a folder once.
func (r *repo) testsOf(dir string) (*tests, error) {
	if found := r.packages[dir]; found != nil {
		return found, nil
	}
	files, err := filepath.Glob(filepath.Join(r.root, dir, "*_test.go"))
	if err != nil {
		return nil, err
	}
	found := &tests{functions: map[string]bool{}, texts: map[string]bool{}}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil && strings.HasPrefix(n.Name.Name, "Test") && n.Name.Name != "TestMain" {
					found.functions[n.Name.Name] = true
				}
			case *ast.BasicLit:
				if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
					found.texts[text] = true
				}
			}
			return true
		})
	}
	r.packages[dir] = found
	return found, nil
}

// field looks for a field such as status.users in the schema of a kind.
func (r *repo) field(kind, path string) error {
	at := r.schemas[kind]
	if at == nil {
		return fmt.Errorf("there is no kind %s", kind)
	}
	for _, part := range strings.Split(path, ".") {
		name, isList := strings.CutSuffix(part, "[]")
		next, there := at.Properties[name]
		if !there {
			return fmt.Errorf("%s has no field %s: there is no %s", kind, path, name)
		}
		if at = &next; isList {
			if next.Items == nil || next.Items.Schema == nil {
				return fmt.Errorf("%s of %s is no list", name, kind)
			}
			at = next.Items.Schema
		}
	}
	return nil
}

// kubectl checks that a command names what there is.
func (r *repo) kubectl(args []string) error {
	var words, selectors []string
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case slices.Contains([]string{"-n", "-o", "-f", "-l"}, arg):
			i++
		case arg == "--field-selector":
			if i++; i < len(args) {
				selectors = append(selectors, args[i])
			}
		case !strings.HasPrefix(arg, "-"):
			words = append(words, arg)
		}
	}
	if len(words) == 0 || !slices.Contains([]string{"get", "describe", "edit", "patch", "delete"}, words[0]) {
		if len(words) > 0 && (words[0] == "create" || words[0] == "auth") {
			return nil
		}
		return fmt.Errorf("kubectl %s cannot be checked", strings.Join(args, " "))
	}
	if len(words) < 2 {
		return errors.New("kubectl " + words[0] + " of what?")
	}
	for _, resource := range strings.Split(words[1], ",") {
		kind, there := r.resources[resource]
		if !there {
			return fmt.Errorf("kubectl knows no %s", resource)
		}
		for _, s := range selectors {
			if f, _, _ := strings.Cut(s, "="); !slices.Contains(r.selectable[kind], f) && f != "metadata.name" && f != "metadata.namespace" {
				return fmt.Errorf("%s cannot be selected by %s", resource, f)
			}
		}
	}
	return nil
}

var punctuation = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// link follows a link of docs/coverage.md.
func (r *repo) link(target string) error {
	file, anchor, _ := strings.Cut(target, "#")
	raw, err := os.ReadFile(filepath.Join(r.root, "docs", file))
	if err != nil {
		return fmt.Errorf("%s leads nowhere: %w", target, err)
	}
	if anchor == "" {
		return nil
	}
	isCode := false
	for line := range strings.Lines(string(raw)) {
		if strings.HasPrefix(line, "```") {
			isCode = !isCode
		}
		title := strings.TrimLeft(line, "#")
		if isCode || title == line || !strings.HasPrefix(title, " ") {
			continue
		}
		slug := punctuation.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
		if strings.ReplaceAll(slug, " ", "-") == anchor {
			return nil
		}
	}
	return fmt.Errorf("%s has no heading %s", file, anchor)
}
