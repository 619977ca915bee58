package v1alpha1_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

// The limits of k8s.io/apiserver/pkg/apis/cel, which is not a direct
// dependency and need not become one for two numbers.
const (
	celPerCallLimit = 1_000_000
	celBudget       = 10_000_000
)

// definition is a CRD in the forms that the API server makes of it.
type definition struct {
	crd        apiextensionsv1.CustomResourceDefinition
	internal   apiextensions.CustomResourceDefinition
	structural *structuralschema.Structural
	openAPI    validation.SchemaValidator
	cel        *cel.Validator
}

var definitions = sync.OnceValues(func() (map[string]*definition, error) {
	files, err := filepath.Glob("../../config/crd/bases/*.yaml")
	if err != nil {
		return nil, err
	}
	byKind := map[string]*definition{}
	for _, file := range files {
		d, err := newDefinition(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		byKind[d.crd.Spec.Names.Kind] = d
	}
	return byKind, nil
})

func newDefinition(file string) (*definition, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	d := &definition{}
	if err := yaml.UnmarshalStrict(raw, &d.crd); err != nil {
		return nil, err
	}
	apiextensionsv1.SetDefaults_CustomResourceDefinition(&d.crd)
	apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&d.crd.Spec)
	d.crd.Status.StoredVersions = []string{d.crd.Spec.Versions[0].Name}
	if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(&d.crd, &d.internal, nil); err != nil {
		return nil, err
	}
	var props apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(d.schema(), &props, nil); err != nil {
		return nil, err
	}
	if d.structural, err = structuralschema.NewStructural(&props); err != nil {
		return nil, err
	}
	if d.openAPI, _, err = validation.NewSchemaValidator(&props); err != nil {
		return nil, err
	}
	d.cel = cel.NewValidator(d.structural, true, celPerCallLimit)
	return d, nil
}

func (d *definition) schema() *apiextensionsv1.JSONSchemaProps {
	return d.crd.Spec.Versions[0].Schema.OpenAPIV3Schema
}

func definitionOf(t *testing.T, kind string) *definition {
	t.Helper()
	all, err := definitions()
	if err != nil {
		t.Fatal(err)
	}
	if all[kind] == nil {
		t.Fatalf("no CRD for the kind %q", kind)
	}
	return all[kind]
}

// admit does to an object what the API server does before it stores it, in
// its order, and applies the defaults to it.
func (d *definition) admit(obj, old map[string]any) field.ErrorList {
	var errs field.ErrorList
	for _, path := range pruning.PruneWithOptions(obj, d.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}) {
		errs = append(errs, field.Forbidden(field.NewPath(path), "unknown field"))
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(obj, d.structural)
	defaulting.Default(obj, d.structural)
	errs = append(errs, validation.ValidateCustomResource(nil, obj, d.openAPI)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, d.structural, obj)...)
	for _, err := range errs {
		switch err.Type { // the API server evaluates no rules on an object of the wrong shape
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return errs
		}
	}
	var oldAny any // not an interface that holds a nil map
	if old != nil {
		oldAny = old
	}
	celErrs, _ := d.cel.Validate(context.Background(), nil, d.structural, obj, oldAny, celBudget)
	return append(errs, celErrs...)
}

// parse keeps whole numbers whole, as the API server does.
func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	raw, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	var obj map[string]any
	if err := utiljson.Unmarshal(raw, &obj); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return obj
}

// merge applies a JSON merge patch.
func merge(to, patch map[string]any) map[string]any {
	for key, value := range patch {
		inner, isMap := value.(map[string]any)
		switch {
		case isMap:
			was, _ := to[key].(map[string]any)
			if was == nil {
				was = map[string]any{}
			}
			to[key] = merge(was, inner)
		case value == nil:
			delete(to, key)
		default:
			to[key] = value
		}
	}
	return to
}
