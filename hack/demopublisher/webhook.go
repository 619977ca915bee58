package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/uuid"
)

const (
	maxPayload = 64 << 10
	// webhookTime is how long one call of the webhook works. The marketplace
	// takes a change as accepted 10 seconds after it was told.
	webhookTime = 8 * time.Second
)

// webhook is told what happens at the marketplace.
//
// A call is news that something happened, not the facts: those are asked from
// the API. So it makes no difference how often a call comes, or in which order.
// Anything but 2xx means that it shall come again; 4xx would refuse a change.
type webhook struct {
	api      *api
	accounts *accounts
	keys     *discovery
	now      func() time.Time
	logger   *slog.Logger
}

// payload is what of a call is looked at. Everything else is asked.
type payload struct {
	ID             string `json:"id"`
	SubscriptionID string `json:"subscriptionId"`
	Action         string `json:"action"`
}

func (h *webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), webhookTime)
	defer cancel()
	w.WriteHeader(h.call(ctx, r))
}

func (h *webhook) call(ctx context.Context, r *http.Request) (status int) {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !found {
		return http.StatusUnauthorized
	}
	switch err := h.keys.verify(ctx, token); {
	case errors.Is(err, errToken):
		h.logger.Warn("refused a call of the webhook", "reason", err)
		return http.StatusUnauthorized
	case err != nil:
		h.logger.Error("cannot verify calls of the webhook", "err", err)
		return http.StatusServiceUnavailable
	}
	text, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxPayload))
	var p payload
	if err != nil || json.Unmarshal(text, &p) != nil || uuid.Validate(p.ID) != nil || uuid.Validate(p.SubscriptionID) != nil {
		h.logger.Warn("a call of the webhook made no sense")
		return http.StatusBadRequest
	}
	if !slices.Contains([]string{actionChangePlan, actionChangeQuantity, actionRenew, actionSuspend, actionReinstate, actionUnsubscribe}, p.Action) {
		h.logger.Info("nothing to do about an event", "action", p.Action, "subscription", p.SubscriptionID)
		return http.StatusOK
	}
	if err := h.operate(ctx, p.SubscriptionID, p.ID); err != nil {
		h.logger.Error("an operation has to come again", "subscription", p.SubscriptionID, "operation", p.ID, "err", err)
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}

// operate does what is to be done about an operation, once.
func (h *webhook) operate(ctx context.Context, subscriptionID, operationID string) error {
	defer h.accounts.turn(subscriptionID)()
	known := h.accounts.get(subscriptionID)
	if slices.Contains(known.Done, operationID) {
		return nil
	}
	op, err := h.api.operation(ctx, subscriptionID, operationID)
	if err != nil {
		return err
	}
	if op.ID != operationID || op.SubscriptionID != subscriptionID {
		return errors.New("the fulfilment API told of another operation")
	}
	refused := ""
	if op.Status == progressRunning {
		if refused, err = h.decide(ctx, &known, op); err != nil {
			return err
		}
	}
	if err := h.accounts.change(subscriptionID, func(a *account) {
		a.carryOut(op, refused, h.now())
		a.done(operationID)
	}); err != nil {
		return err
	}
	h.logger.Info("done", "action", op.Action, "subscription", subscriptionID, "operation", operationID, "status", op.Status, "refused", refused != "")
	return nil
}

// decide answers an operation that waits for it, sets op to how it then is, and
// says why it was refused if it was.
func (h *webhook) decide(ctx context.Context, known *account, op *operation) (refused string, err error) {
	with := answer{PlanID: op.PlanID, Quantity: op.Quantity, Status: answerSuccess}
	if op.changes() && 0 < op.Quantity && op.Quantity < known.Users {
		with.Status = answerFailure
		refused = fmt.Sprintf("%d seats are too few for the %d people who use one. Take seats from people first.", op.Quantity, known.Users)
	}
	err = h.api.answer(ctx, op.SubscriptionID, op.ID, with)
	if refusedWith(err, http.StatusConflict, http.StatusBadRequest) {
		// It was answered before, or accepted because that took too long.
		after, err := h.api.operation(ctx, op.SubscriptionID, op.ID)
		if err != nil {
			return "", err
		}
		*op = *after
		if op.Status == progressRunning {
			return "", errors.New("the fulfilment API took no answer to an operation that waits for one")
		}
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if op.Status = progressSucceeded; refused != "" {
		op.Status = "Failed"
	}
	return refused, nil
}

// carryOut changes the account as an operation says that is over. News can come
// late: what a later operation changed stays as it is.
func (a *account) carryOut(op *operation, refused string, now time.Time) {
	latest := &a.StateAt
	if op.changes() {
		latest = &a.LevelAt
	}
	switch {
	case refused != "":
		a.note(now, "Refused: %s", refused)
		return
	case op.Status != progressSucceeded || op.TimeStamp.Before(*latest) || a.Status == statusUnsubscribed:
		return
	}
	*latest = op.TimeStamp
	if a.Offer == "" {
		a.Offer = op.OfferID
	}
	switch op.Action {
	case actionChangePlan:
		a.Plan, a.Seats = op.PlanID, op.Quantity
		a.note(now, "The plan is now %s.", op.PlanID)
	case actionChangeQuantity:
		a.Seats = op.Quantity
		a.note(now, "There are now %d seats.", op.Quantity)
	case actionRenew:
		a.note(now, "Renewed for another term.")
	case actionSuspend:
		a.Status = statusSuspended
		a.note(now, "Suspended: nobody can sign in. Everything is kept.")
	case actionReinstate:
		a.Status = statusSubscribed
		a.note(now, "Reinstated: everybody can sign in again.")
	case actionUnsubscribe:
		a.Status, a.Users = statusUnsubscribed, 0
		a.note(now, "Ended: nobody can sign in any more. Data can be exported for 7 days.")
	}
}

// changes reports whether an operation changes what the customer has.
func (op *operation) changes() bool {
	return op.Action == actionChangeQuantity || op.Action == actionChangePlan
}

// errToken is what is wrong with a token. Other errors of verify say nothing of
// the token.
var errToken = errors.New("the token is not one of the marketplace for this webhook")

// discovery verifies the tokens of calls by the keys that the marketplace
// publishes (OpenID Connect Discovery).
type discovery struct {
	issuer, audience string
	client           *http.Client
	now              func() time.Time

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier // nil: not discovered yet
}

func (d *discovery) verify(ctx context.Context, token string) error {
	verifier, err := d.discovered(ctx)
	if err != nil {
		return err
	}
	_, err = verifier.Verify(oidc.ClientContext(ctx, d.client), token)
	switch {
	case err == nil:
		return nil
	case strings.Contains(err.Error(), "fetching keys"): // the library has no type for it
		return errors.New("reading the keys of the marketplace failed")
	case errors.As(err, new(*oidc.TokenExpiredError)):
		return fmt.Errorf("%w: it has expired", errToken)
	}
	return errToken // err may quote it
}

// discovered looks for the keys of the marketplace, which may start after us.
func (d *discovery) discovered(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.verifier != nil {
		return d.verifier, nil
	}
	// The provider fetches keys with this context later on as well, so it must
	// not end with the call.
	provider, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), d.client), d.issuer)
	if err != nil {
		return nil, fmt.Errorf("discovering the keys of %s: %w", d.issuer, err)
	}
	d.verifier = provider.Verifier(&oidc.Config{ClientID: d.audience, SupportedSigningAlgs: []string{oidc.RS256}, Now: d.now})
	return d.verifier, nil
}
