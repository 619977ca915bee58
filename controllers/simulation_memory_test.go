package controllers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/ledger"
)

// memory is an API server in memory, as far as the reconcilers need one: unique
// names, resource versions, generations, optimistic locks, preconditions and
// indexes. Ten years of three hundred subscriptions are too much for
// controller-runtime's fake client, which takes a millisecond for a write.
type memory struct {
	client.Client // nil: whatever is not below is not used
	clock         func() time.Time
	objects       map[reflect.Type]map[client.ObjectKey]client.Object // never changed once they are stored
	indexed       map[index]map[client.ObjectKey]bool
	serial        int64
	changed       func(before, after client.Object) // nil: there was none, or there is none any more
}

type index struct {
	kind        reflect.Type
	name, value string
}

var memoryIndexes = map[reflect.Type]map[string]client.IndexerFunc{
	reflect.TypeFor[v1alpha1.LicenseKey]():           ledger.Indexes,
	reflect.TypeFor[v1alpha1.SoftwareSubscription](): subscriptionIndexes,
	reflect.TypeFor[v1alpha1.Product](): {indexProductIssuer: func(o client.Object) []string {
		return []string{o.(*v1alpha1.Product).Spec.Software.Keys.IssuerRef.Name}
	}},
}

func newMemory(clock func() time.Time) *memory {
	return &memory{clock: clock, objects: map[reflect.Type]map[client.ObjectKey]client.Object{}, indexed: map[index]map[client.ObjectKey]bool{}, changed: func(client.Object, client.Object) {}}
}

func kindOf(o any) reflect.Type { return reflect.TypeOf(o).Elem() }

func resource(o any) schema.GroupResource { return schema.GroupResource{Resource: kindOf(o).Name()} }

// store puts an object in the place of another one; nil: nothing.
func (m *memory) store(before, after client.Object) {
	some := after
	if some == nil {
		some = before
	}
	kind, key := kindOf(some), client.ObjectKeyFromObject(some)
	if m.objects[kind] == nil {
		m.objects[kind] = map[client.ObjectKey]client.Object{}
	}
	for name, f := range memoryIndexes[kind] {
		if before != nil {
			for _, v := range f(before) {
				delete(m.indexed[index{kind, name, v}], key)
			}
		}
		if after != nil {
			for _, v := range f(after) {
				i := index{kind, name, v}
				if m.indexed[i] == nil {
					m.indexed[i] = map[client.ObjectKey]bool{}
				}
				m.indexed[i][key] = true
			}
		}
	}
	if after == nil {
		delete(m.objects[kind], key)
	} else {
		m.serial++
		after.SetResourceVersion(fmt.Sprint(m.serial))
		m.objects[kind][key] = after
	}
	m.changed(before, after)
}

func (m *memory) Get(_ context.Context, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	stored := m.objects[kindOf(o)][key]
	if stored == nil {
		return apierrors.NewNotFound(resource(o), key.Name)
	}
	reflect.ValueOf(o).Elem().Set(reflect.ValueOf(stored.DeepCopyObject()).Elem())
	return nil
}

func (m *memory) List(_ context.Context, list client.ObjectList, opts ...client.ListOption) error {
	o := (&client.ListOptions{}).ApplyOptions(opts)
	items, _ := reflect.TypeOf(list).Elem().FieldByName("Items")
	kind := items.Type.Elem()
	candidates, fields := slices.Collect(maps.Keys(m.objects[kind])), map[string]string{}
	if o.FieldSelector != nil {
		for _, req := range o.FieldSelector.Requirements() {
			fields[req.Field] = req.Value
			if memoryIndexes[kind][req.Field] != nil {
				candidates = slices.Collect(maps.Keys(m.indexed[index{kind, req.Field, req.Value}]))
				delete(fields, req.Field)
			}
		}
		if customer, name := fields["spec.customer"], fields["spec.subscription.name"]; customer != "" && name != "" {
			candidates = slices.Collect(maps.Keys(m.indexed[index{kind, ledger.IndexSubscription, customer + "/" + name}]))
			fields = nil
		}
		if len(fields) > 0 {
			return fmt.Errorf("%v has no index for %v", kind, fields)
		}
	}
	slices.SortFunc(candidates, compareKeys)
	var found []runtime.Object
	for _, key := range candidates {
		stored := m.objects[kind][key]
		if o.Namespace != "" && key.Namespace != o.Namespace || o.LabelSelector != nil && !o.LabelSelector.Matches(labelsOf(stored)) {
			continue
		}
		if o.UnsafeDisableDeepCopy == nil || !*o.UnsafeDisableDeepCopy {
			stored = stored.DeepCopyObject().(client.Object)
		}
		found = append(found, stored)
	}
	return meta.SetList(list, found)
}

func (m *memory) Create(_ context.Context, o client.Object, _ ...client.CreateOption) error {
	if m.objects[kindOf(o)][client.ObjectKeyFromObject(o)] != nil {
		return apierrors.NewAlreadyExists(resource(o), o.GetName())
	}
	m.serial++
	o.SetUID(types.UID(fmt.Sprintf("uid-%d", m.serial)))
	o.SetCreationTimestamp(metav1.NewTime(m.clock().Truncate(time.Second)))
	o.SetGeneration(1)
	stored := o.DeepCopyObject().(client.Object)
	m.store(nil, stored)
	o.SetResourceVersion(stored.GetResourceVersion())
	return nil
}

func (m *memory) Update(_ context.Context, o client.Object, _ ...client.UpdateOption) error {
	return m.replace(o, o.GetResourceVersion(), func(stored client.Object) {
		version := stored.GetResourceVersion()
		reflect.ValueOf(stored).Elem().Set(reflect.ValueOf(o.DeepCopyObject()).Elem())
		stored.SetResourceVersion(version)
	})
}

// replace changes a stored object under an optimistic lock, and counts its
// generation on if its spec is another one then.
func (m *memory) replace(o client.Object, version string, change func(client.Object)) error {
	before := m.objects[kindOf(o)][client.ObjectKeyFromObject(o)]
	if before == nil {
		return apierrors.NewNotFound(resource(o), o.GetName())
	}
	if version != "" && version != before.GetResourceVersion() {
		return apierrors.NewConflict(resource(o), o.GetName(), errors.New("it was changed meanwhile"))
	}
	after := before.DeepCopyObject().(client.Object)
	change(after)
	if !equality.Semantic.DeepEqual(specOf(before), specOf(after)) {
		after.SetGeneration(before.GetGeneration() + 1)
	}
	m.store(before, after)
	o.SetResourceVersion(after.GetResourceVersion())
	o.SetGeneration(after.GetGeneration())
	return nil
}

func specOf(o client.Object) any {
	spec := reflect.ValueOf(o).Elem().FieldByName("Spec")
	if !spec.IsValid() {
		return nil
	}
	return spec.Interface()
}

func (m *memory) Delete(_ context.Context, o client.Object, opts ...client.DeleteOption) error {
	stored := m.objects[kindOf(o)][client.ObjectKeyFromObject(o)]
	if stored == nil {
		return apierrors.NewNotFound(resource(o), o.GetName())
	}
	d := (&client.DeleteOptions{}).ApplyOptions(opts)
	if p := d.Preconditions; p != nil && (p.UID != nil && *p.UID != stored.GetUID() || p.ResourceVersion != nil && *p.ResourceVersion != stored.GetResourceVersion()) {
		return apierrors.NewConflict(resource(o), o.GetName(), errors.New("it is another one"))
	}
	m.store(stored, nil)
	return nil
}

// patch takes one field, Spec or Status, of the changed object. That is what a
// merge patch comes to if it locks the version that it was made from, and no
// other kind is understood.
func (m *memory) patch(o client.Object, p client.Patch, field string) error {
	data, err := p.Data(o)
	if err != nil {
		return err
	}
	var parts map[string]json.RawMessage
	var locked struct {
		Metadata struct{ ResourceVersion string }
	}
	if err := errors.Join(json.Unmarshal(data, &parts), json.Unmarshal(data, &locked)); err != nil {
		return err
	}
	if p.Type() != types.MergePatchType || locked.Metadata.ResourceVersion == "" {
		return fmt.Errorf("not a merge patch with a lock: %s", data)
	}
	return m.replace(o, locked.Metadata.ResourceVersion, func(stored client.Object) {
		changed := reflect.ValueOf(o.DeepCopyObject()).Elem().FieldByName(field)
		reflect.ValueOf(stored).Elem().FieldByName(field).Set(changed)
	})
}

// operatorView is the client of an operator that runs: a cache in which Secrets
// hold fingerprints and nothing has managed fields, and writes that fail now
// and then, before or after they took effect.
type operatorView struct {
	*memory
	writes  []string
	outcome func() outcome
	dead    bool // the process was killed in this pass
	small   map[client.ObjectKey]*corev1.Secret
}

// outcome is what becomes of a write.
type outcome int

const (
	succeeds outcome = iota
	failsBefore
	failsAfter
	killedBefore // the process
	killedAfter
)

var errLost = errors.New("the connection was lost")

func (v *operatorView) write(verb string, o client.Object, do func() error) error {
	if v.dead {
		return errLost
	}
	how := v.outcome()
	v.dead = how >= killedBefore
	if how == failsBefore || how == killedBefore {
		return errLost
	}
	err := do()
	if err == nil {
		if _, ok := o.(*eventsv1.Event); !ok {
			v.writes = append(v.writes, verb+" "+kindOf(o).Name())
		}
		if how != succeeds {
			return errLost
		}
	}
	return err
}

func (v *operatorView) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	return v.write("create", o, func() error { return v.memory.Create(ctx, o, opts...) })
}

func (v *operatorView) Update(ctx context.Context, o client.Object, opts ...client.UpdateOption) error {
	return v.write("update", o, func() error { return v.memory.Update(ctx, o, opts...) })
}

func (v *operatorView) Delete(ctx context.Context, o client.Object, opts ...client.DeleteOption) error {
	return v.write("delete", o, func() error { return v.memory.Delete(ctx, o, opts...) })
}

func (v *operatorView) Patch(_ context.Context, o client.Object, p client.Patch, _ ...client.PatchOption) error {
	return v.write("patch", o, func() error { return v.patch(o, p, "Spec") })
}

func (v *operatorView) Status() client.SubResourceWriter { return simulatedStatus{v: v} }

type simulatedStatus struct {
	client.SubResourceWriter
	v *operatorView
}

func (w simulatedStatus) Patch(_ context.Context, o client.Object, p client.Patch, _ ...client.SubResourcePatchOption) error {
	return w.v.write("patch status of", o, func() error { return w.v.patch(o, p, "Status") })
}

func (v *operatorView) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	secret, ok := o.(*corev1.Secret)
	if !ok {
		err := v.memory.Get(ctx, key, o, opts...)
		o.SetManagedFields(nil)
		return err
	}
	stored, ok := v.objects[kindOf(o)][key].(*corev1.Secret)
	if !ok || stored.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedByOperator {
		return apierrors.NewNotFound(resource(o), key.Name)
	}
	small := v.small[key]
	if small == nil || small.ResourceVersion != stored.ResourceVersion {
		small = fingerprinted(stored)
		v.small[key] = small
	}
	small.DeepCopyInto(secret)
	return nil
}

func fingerprinted(s *corev1.Secret) *corev1.Secret {
	small, err := FingerprintSecret(s)
	if err != nil {
		panic(err)
	}
	return small.(*corev1.Secret)
}

func compareKeys(a, b client.ObjectKey) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

func labelsOf(o client.Object) labels.Set { return o.GetLabels() }
