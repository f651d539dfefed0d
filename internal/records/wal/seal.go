package wal

import (
	"encoding/json"
	"fmt"

	"garrison"
)

// Sealed is what a frame of type Seal says: these chunks are in the ledger.
type Sealed struct {
	Chunks []SealedChunk `json:"chunks"`
}

// SealedChunk is one chunk that is in the ledger.
type SealedChunk struct {
	Second int64                `json:"second"`
	Rows   int                  `json:"rows"`
	Root   []byte               `json:"root"`
	Ref    garrison.EvidenceRef `json:"ref"`
}

// Begun is what a frame of type Begin says.
type Begun struct {
	Run string `json:"run"`
	At  int64  `json:"at"` // Unix ms by the wall clock
}

// Ended is what a frame of type End says.
type Ended struct {
	Run   string `json:"run"`
	At    int64  `json:"at"`
	Cause string `json:"cause"`
}

// MarshalBody returns the body of a frame that is neither rows nor empty.
func MarshalBody(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("wal: body of type %T does not marshal: %v", v, err))
	}
	return b
}
