package state_test

import (
	"testing"

	"garrison/internal/state/statetest"
)

func TestConformance(t *testing.T) {
	statetest.Each(t, func(t *testing.T, open statetest.Open) { statetest.Run(t, open) })
}
