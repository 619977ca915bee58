package main

import (
	"context"
	"errors"
	"slices"
	"time"
)

// catchUp follows, once the marketplace can be reached, what happened to known
// accounts while nobody listened, and answers what still waits for it.
func (h *webhook) catchUp(ctx context.Context) {
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		err := h.followAll(ctx)
		if err == nil {
			return
		}
		h.logger.Warn("cannot catch up with the marketplace yet", "err", err)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

func (h *webhook) followAll(ctx context.Context) error {
	subs, err := h.api.list(ctx)
	if err != nil {
		return err
	}
	var problems error
	for _, sub := range subs {
		problems = errors.Join(problems, h.follow(ctx, &sub))
	}
	return problems
}

// follow answers operations first: what was listed may be older than their
// outcome.
func (h *webhook) follow(ctx context.Context, sub *subscription) error {
	known := h.accounts.get(sub.ID)
	if known.Status == "" {
		return nil // nobody has come with it yet
	}
	if sub.Status == statusSubscribed || sub.Status == statusSuspended {
		waiting, err := h.api.operations(ctx, sub.ID)
		if err != nil {
			return err
		}
		for _, op := range waiting {
			if slices.Contains(known.Done, op.ID) {
				continue
			}
			if err := h.operate(ctx, sub.ID, op.ID); err != nil {
				return err
			}
		}
	}
	return h.refresh(ctx, sub.ID)
}

// refresh takes over what the marketplace says of a subscription now.
func (h *webhook) refresh(ctx context.Context, id string) error {
	defer h.accounts.turn(id)()
	sub, err := h.api.get(ctx, id)
	if err != nil {
		return err
	}
	if is := h.accounts.get(id); !is.follow(sub) {
		return nil
	}
	return h.accounts.change(id, func(a *account) {
		a.follow(sub)
		a.note(h.now(), "Followed the marketplace after a pause: the subscription is %s.", a.Status)
	})
}
