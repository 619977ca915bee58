package terms

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// customer is a namespace with one agreement in it, and a partner who can
// register for it from two namespaces. The versions are those by which the API
// server refuses a write on an object that has changed since it was read.
type customer struct {
	registered       [2]bool
	removed          []string
	record           PartnerRecord
	binding          PartnerBinding
	made             int // bindings so far
	agreementVersion int
	bindingVersion   int

	given   bool // by the operator, by this binding
	lost    bool // the record of this binding, by a restore
	taken   bool // the access was taken away, and nobody has given it back
	touched bool // somebody else than the operator had a hand in the binding
	told    []string
}

var registeredFrom = [2]string{"northwind", "fabrikam"}

func (c *customer) claims() []PartnerClaim {
	var claims []PartnerClaim
	for i, from := range registeredFrom {
		if c.registered[i] {
			claims = append(claims, claimed(gail, "open", "2026-03-01T00:00:00Z", by("gail", from, "open")))
		}
	}
	return claims
}

func (c *customer) wanted() bool { return len(Partners(c.claims(), c.removed)[gail]) > 0 }

func (c *customer) tell(format string, args ...any) {
	c.told = append(c.told, fmt.Sprintf(format, args...))
}

func (c *customer) newBinding(b PartnerBinding) {
	c.made++
	b.UID = fmt.Sprint("u", c.made)
	c.binding, c.given, c.lost = b, false, false
	c.bindingVersion++
}

// next reads what is there and decides.
func (c *customer) next() PartnerStep {
	return NextPartnerStep(c.wanted(), slices.Contains(c.removed, gail.Name), c.record, c.binding)
}

// carry carries out a step that was decided on what was read then. It reports
// whether the API server took it.
func (c *customer) carry(t rapid.TB, step PartnerStep, read customer) bool {
	sameAgreement, sameBinding := c.agreementVersion == read.agreementVersion, c.bindingVersion == read.bindingVersion
	switch step {
	case StepReserve:
		if c.binding.UID != "" {
			return false
		}
		c.newBinding(PartnerBinding{Phase: BindingReserved})
		c.touched = false
	case StepFill, StepEnd, StepRevoke:
		if !sameBinding {
			return false
		}
		c.bindingVersion++
		switch step {
		case StepFill:
			if c.taken {
				t.Fatalf("access is given again:\n%s", c)
			}
			c.binding.Names, c.binding.Phase = true, BindingGiven
			c.given = !c.lost
		case StepEnd:
			c.binding.Names, c.binding.Phase = false, BindingEnded
			c.given = false
		default:
			c.binding = PartnerBinding{}
		}
	case StepRecord, StepTell, StepForget, StepExclude:
		if !sameAgreement {
			return false
		}
		c.agreementVersion++
		switch step {
		case StepRecord:
			c.record = PartnerRecord{UID: read.binding.UID}
		case StepTell:
			c.record.Granted = true
		case StepForget:
			c.record = PartnerRecord{}
		default:
			if !c.touched {
				t.Fatalf("the customer is said to have removed somebody, and he did nothing:\n%s", c)
			}
			c.removed = append(c.removed, gail.Name)
		}
	}
	c.tell("operator: %s", step)
	return true
}

// pass goes as far as it can, unless it is cut short, or something happens in
// between.
func (c *customer) pass(t *rapid.T, reached map[string]int) {
	c.tell("operator: pass")
	for range 12 {
		read := *c
		step := c.next()
		if step == StepDone {
			return
		}
		if rapid.IntRange(0, 5).Draw(t, "in between") == 5 {
			c.others(t, reached)
		}
		if rapid.IntRange(0, 11).Draw(t, "dies before") == 11 {
			reached["died before "+string(step)]++
			c.tell("operator dies before %s", step)
			return
		}
		if !c.carry(t, step, read) {
			reached["conflict at "+string(step)]++
			c.tell("operator: %s is refused", step)
			return
		}
		reached[string(step)]++
		if rapid.IntRange(0, 11).Draw(t, "dies after") == 11 {
			reached["died after "+string(step)]++
			c.tell("operator dies after %s", step)
			return
		}
	}
}

// others do something.
func (c *customer) others(t *rapid.T, reached map[string]int) {
	what := rapid.SampledFrom([]string{"unregisters", "registers", "registers", "deletes", "deletes", "edits", "excludes", "readmits", "readmits", "restores", "restores empty", "adds", "forgets"}).Draw(t, "others")
	i := rapid.IntRange(0, 1).Draw(t, "which")
	entry := []string{gail.Name, registeredFrom[i]}[rapid.IntRange(0, 1).Draw(t, "entry")]
	has := c.binding.UID != ""
	switch {
	case what == "registers" && !c.registered[i], what == "unregisters" && c.registered[i]:
		c.registered[i] = !c.registered[i]
	case what == "deletes" && has:
		c.taken = c.taken || c.binding.Names && (c.given || c.record.UID != "")
		c.touched = true
		c.binding = PartnerBinding{}
		c.bindingVersion++
	case what == "edits" && c.binding.Names:
		c.taken = c.taken || c.record.UID != "" && c.binding.Phase == BindingGiven // what others gave, others may take
		c.touched = true
		c.binding.Names, c.given = false, false
		c.bindingVersion++
	case what == "excludes" && !slices.Contains(c.removed, entry):
		c.removed = append(slices.Clone(c.removed), entry)
		c.agreementVersion++
	case what == "readmits" && slices.Contains(c.removed, entry):
		c.removed = slices.DeleteFunc(slices.Clone(c.removed), func(e string) bool { return e == entry })
		c.agreementVersion++
		c.taken = c.taken && entry != gail.Name
	case what == "restores": // the binding, as it was when it gave access
		c.newBinding(PartnerBinding{Names: true, Phase: BindingGiven})
		c.taken, c.touched = false, true
	case what == "restores empty": // as it was before, or after
		c.newBinding(PartnerBinding{Phase: rapid.SampledFrom([]BindingPhase{BindingReserved, BindingGiven, BindingEnded, ""}).Draw(t, "phase")})
		c.touched = true
	case what == "adds" && has: // him by hand
		c.binding.Names = true
		c.bindingVersion++
		c.taken, c.touched = false, true
	case what == "forgets": // a restore of the agreement, which has no status
		c.record = PartnerRecord{}
		c.agreementVersion++
		c.given, c.lost, c.taken = false, true, false
	default:
		return
	}
	reached[what]++
	c.tell("others: %s %s", what, entry)
}

func (c *customer) String() string {
	return fmt.Sprintf("%q\nremoved %q, registered %v, record %+v, binding %+v", c.told, c.removed, c.registered, c.record, c.binding)
}

// settle is a whole pass in which nothing happens. It counts the steps.
func (c *customer) settle(t rapid.TB) int {
	c.tell("operator: whole pass")
	took := 0
	for ; c.next() != StepDone; took++ {
		if took == 8 {
			t.Fatalf("more than eight steps:\n%s", c)
		}
		c.carry(t, c.next(), *c)
	}
	want := PartnerBinding{}
	if c.wanted() {
		want = PartnerBinding{UID: c.binding.UID, Names: true, Phase: BindingGiven}
	}
	if c.binding != want || c.wanted() == (c.binding.UID == "") || c.record != (PartnerRecord{UID: want.UID, Granted: want.Names}) {
		t.Fatalf("wanted %v:\n%s", c.wanted(), c)
	}
	if c.taken && (want.Names || !slices.Contains(c.removed, gail.Name)) {
		t.Fatalf("what was taken away is not on record:\n%s", c)
	}
	return took
}

// From wherever it begins, it comes to rest.
func TestEveryAccessSettles(t *testing.T) {
	longest := 0
	for _, registered := range []bool{false, true} {
		for _, removed := range [][]string{nil, {"northwind"}, {"gail"}} {
			for _, f := range everyAccess() {
				c := &customer{registered: [2]bool{registered}, removed: removed, record: f.record, binding: f.binding, touched: true}
				c.tell("%s", describe(f.record, f.binding))
				longest = max(longest, c.settle(t))
			}
		}
	}
	if longest != 7 { // somebody has added the partner to what was ended, and he is registered anew
		t.Errorf("the longest way has %d steps", longest)
	}
}

// Whatever happens, and however often a pass is cut short: after a whole pass
// exactly those have access who may, and that is on record. What a customer took
// away is not given again until he takes the entry out, also if the partner has
// registered anew meanwhile. Nobody is excluded by himself. It comes to rest
// within eight steps.
func TestAnyAccess(t *testing.T) {
	rapidChecks(t, 40_000)
	reached := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		c := &customer{registered: [2]bool{true}}
		for range rapid.IntRange(1, 20).Draw(t, "events") {
			if rapid.Bool().Draw(t, "a pass") {
				c.pass(t, reached)
			} else {
				c.others(t, reached)
			}
		}
		reached[fmt.Sprint("rests after ", c.settle(t))]++
	})
	t.Log(reached)
	for _, want := range []string{
		"registers", "unregisters", "deletes", "edits", "excludes", "readmits", "restores", "restores empty", "adds", "forgets",
		"conflict at Fill", "conflict at End", "conflict at Exclude", "conflict at Revoke", "conflict at Record", "conflict at Tell", "conflict at Forget",
		"Reserve", "Record", "Fill", "Tell", "Exclude", "End", "Forget", "Revoke",
		"died before Exclude", "died after Exclude", "died after End", "died after Fill", "died after Revoke",
		"rests after 0", "rests after 4",
	} {
		if !t.Failed() && reached[want] < 20 {
			t.Errorf("only %d reached %q: they try too little", reached[want], want)
		}
	}
}
