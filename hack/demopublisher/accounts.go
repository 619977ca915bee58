package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// keptEvents is how many of the latest events of an account are kept.
	keptEvents = 20
	// keptOperations is how many of an account's operations are remembered as
	// done. The marketplace tells of each for hours, not for years.
	keptOperations = 500
)

// account is what the publisher knows of a customer's subscription.
type account struct {
	ID         string    `json:"id"` // of the subscription
	Company    string    `json:"company,omitempty"`
	AdminEmail string    `json:"adminEmail,omitempty"`
	Offer      string    `json:"offer,omitempty"`
	Plan       string    `json:"plan,omitempty"`
	Seats      int64     `json:"seats,omitempty"` // 0: not sold by the seat
	Users      int64     `json:"users,omitempty"` // who have a seat
	Status     string    `json:"status,omitempty"`
	LevelAt    time.Time `json:"levelAt,omitzero"` // of the latest operation that changed plan or seats
	StateAt    time.Time `json:"stateAt,omitzero"` // of the latest other operation
	Events     []event   `json:"events,omitempty"`
	Done       []string  `json:"done,omitempty"` // ids of operations
}

type event struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// note adds to what happened, which the customer sees.
func (a *account) note(now time.Time, format string, args ...any) {
	a.Events = append(a.Events, event{now.UTC().Truncate(time.Second), fmt.Sprintf(format, args...)})
	a.Events = a.Events[max(0, len(a.Events)-keptEvents):]
}

// done puts on record that nothing is left to do about an operation.
func (a *account) done(operationID string) {
	a.Done = append(a.Done, operationID)
	a.Done = a.Done[max(0, len(a.Done)-keptOperations):]
}

// follow takes over what the marketplace says of the subscription, and reports
// whether that was news.
func (a *account) follow(sub *subscription) (news bool) {
	was := *a
	a.Offer, a.Plan, a.Seats, a.Status = sub.OfferID, sub.PlanID, sub.Quantity, sub.Status
	return a.Plan != was.Plan || a.Seats != was.Seats || a.Status != was.Status
}

// accounts of all customers, in memory and, if there is a folder, in a file.
type accounts struct {
	file string // "": none

	mu   sync.Mutex
	byID map[string]account
	// turns let one at a time do something about an account that takes calls
	// of the marketplace.
	turns map[string]*sync.Mutex
}

// openAccounts reads the accounts in a folder, which it makes if need be.
func openAccounts(dir string) (*accounts, error) {
	a := &accounts{byID: map[string]account{}, turns: map[string]*sync.Mutex{}}
	if dir == "" {
		return a, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of --data: %w", err)
	}
	a.file = filepath.Join(dir, "accounts.json")
	text, err := os.ReadFile(a.file)
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the accounts: %w", err)
	}
	var list []account
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("%s holds no accounts: %w", a.file, err)
	}
	for _, each := range list {
		a.byID[each.ID] = each
	}
	return a, nil
}

// turn waits until nobody else works on an account, and returns how to end it.
func (a *accounts) turn(id string) (end func()) {
	a.mu.Lock()
	if a.turns[id] == nil {
		a.turns[id] = &sync.Mutex{}
	}
	turn := a.turns[id]
	a.mu.Unlock()
	turn.Lock()
	return turn.Unlock
}

// get returns an account. One that is not known is empty but for its id.
func (a *accounts) get(id string) account {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.locked(id)
}

func (a *accounts) locked(id string) account {
	found, ok := a.byID[id]
	if !ok {
		return account{ID: id}
	}
	found.Events, found.Done = slices.Clone(found.Events), slices.Clone(found.Done)
	return found
}

// change changes an account, and keeps it before it returns.
func (a *accounts) change(id string, how func(*account)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	was, known := a.byID[id]
	changed := a.locked(id)
	how(&changed)
	a.byID[id] = changed
	if err := a.save(); err != nil {
		if a.byID[id] = was; !known {
			delete(a.byID, id)
		}
		return fmt.Errorf("keeping the account: %w", err)
	}
	return nil
}

// save replaces the file, so that it is whole whenever the program ends.
func (a *accounts) save() error {
	if a.file == "" {
		return nil
	}
	list := make([]account, 0, len(a.byID))
	for _, each := range a.byID {
		list = append(list, each)
	}
	slices.SortFunc(list, func(x, y account) int { return strings.Compare(x.ID, y.ID) })
	text, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(a.file), "accounts-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // fails once it has been renamed
	_, err = temporary.Write(text)
	if err := errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), a.file)
}
