package saasapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
)

// Quantity is a number of seats as clients send it: a JSON number, or a string
// as in the samples of the API's documentation. Null and the empty string are
// none, and so is 0, which typed clients send for what they leave out: nothing
// is sold with no seats.
type Quantity struct {
	Given bool
	Seats int64
}

var errQuantity = errors.New("quantity is not a whole number")

// UnmarshalJSON reads it.
func (q *Quantity) UnmarshalJSON(text []byte) error {
	*q = Quantity{}
	number := string(text)
	if bytes.HasPrefix(text, []byte(`"`)) {
		if err := json.Unmarshal(text, &number); err != nil {
			return err
		}
	}
	if number == "" || number == "null" {
		return nil
	}
	seats, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return errQuantity
	}
	*q = Quantity{Given: seats != 0, Seats: seats}
	return nil
}

// MarshalJSON writes a number, or null.
func (q Quantity) MarshalJSON() ([]byte, error) {
	if !q.Given {
		return []byte("null"), nil
	}
	return strconv.AppendInt(nil, q.Seats, 10), nil
}
