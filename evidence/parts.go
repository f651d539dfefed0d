package evidence

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	// MaxTranscript is the most bytes one kept transcript can have in a bundle.
	MaxTranscript = 16 << 20

	maxStatement = 4 << 20
	maxSample    = 64 << 10
	maxItem      = MaxEntry + (maxProof+2)*64
)

// partLimit returns the most bytes a part can have; 0 for a name no part has.
func partLimit(name string) int {
	kind, _, _ := strings.Cut(name, "/")
	return map[string]int{
		"statement": maxStatement, "checkpoint": MaxCheckpoint, "entry": maxItem,
		"sample": maxSample, "transcript": MaxTranscript,
	}[kind]
}

// partRank returns the place of a part's kind in a bundle; -1 for a name no part has.
func partRank(name string) int {
	switch kind, key, sub := strings.Cut(name, "/"); {
	case name == "statement":
		return 0
	case name == "checkpoint":
		return 1
	case sub && key != "" && kind == "entry":
		return 2
	case sub && key != "" && kind == "sample":
		return 3
	case sub && key != "" && kind == "transcript":
		return 4
	}
	return -1
}

// addPart reads one part into b. Parts come in their order; each must be what b would
// write at that place.
func (b *Bundle) addPart(p part) error {
	kind, _, _ := strings.Cut(p.name, "/")
	var err error
	want := kind
	switch kind {
	case "statement":
		err = b.parseStatement(p.data)
	case "checkpoint":
		b.Checkpoint = p.data
	case "entry":
		want, err = b.addItem(p.data)
	case "sample":
		want = sampleName(len(b.Samples))
		err = b.addSample(p.data)
	case "transcript":
		want = transcriptName(p.data)
		b.Transcripts = append(b.Transcripts, p.data)
	}
	if err == nil && p.name != want {
		err = fmt.Errorf("its content belongs to a part called %q", want)
	}
	return err
}

// text returns the part of an item: index and proof as in a receipt, an empty line,
// the entry as it stands in the ledger.
func (it Item) text() []byte {
	return append(append(proofLines(it.Index, it.Proof), '\n'), it.Entry...)
}

func (b *Bundle) addItem(data []byte) (name string, err error) {
	head, entry, ok := bytes.Cut(data, []byte("\n\n"))
	if !ok {
		return "", errors.New("no entry follows the proof after an empty line")
	}
	it := Item{Entry: entry}
	if it.Index, it.Proof, err = parseProofLines(string(head)); err != nil {
		return "", err
	}
	if n := len(b.Items); n > 0 && b.Items[n-1].Index >= it.Index {
		return "", fmt.Errorf("entry %d follows entry %d", it.Index, b.Items[n-1].Index)
	}
	b.Items = append(b.Items, it)
	return fmt.Sprintf("entry/%d", it.Index), nil
}

func (s RecordSample) text() []byte {
	e := NewEntry("sample",
		"chunk", strconv.FormatUint(s.Chunk, 10),
		"leaf", strconv.FormatUint(s.Leaf, 10),
		"salt", hex.EncodeToString(s.Salt[:]),
		"record", hex.EncodeToString(s.Record))
	for _, list := range []struct {
		name   string
		hashes [][32]byte
	}{{"group", s.Proof.Group}, {"path", s.Proof.Path}} {
		for _, h := range list.hashes {
			e.Fields = append(e.Fields, Field{list.name, base64.StdEncoding.EncodeToString(h[:])})
		}
	}
	return e.text()
}

func (b *Bundle) addSample(data []byte) error {
	e, err := parseText(data, maxSample)
	if err != nil {
		return err
	}
	var s RecordSample
	if s.Chunk, err = parseNumber(e.Get("chunk")); err != nil {
		return fmt.Errorf("chunk: %w", err)
	}
	if s.Leaf, err = parseNumber(e.Get("leaf")); err != nil {
		return fmt.Errorf("leaf: %w", err)
	}
	salt, err := hex.DecodeString(e.Get("salt"))
	if err != nil || len(salt) != len(s.Salt) {
		return fmt.Errorf("salt: %.80q is not 16 bytes in hexadecimal", e.Get("salt"))
	}
	s.Salt = [16]byte(salt)
	if s.Record, err = hex.DecodeString(e.Get("record")); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	if s.Proof.Group, err = parseHashes(e.All("group"), NodeWidth-1); err != nil {
		return fmt.Errorf("group: %w", err)
	}
	if s.Proof.Path, err = parseHashes(e.All("path"), maxProof); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	if !bytes.Equal(s.text(), data) {
		return errors.New("sample is not in its canonical form")
	}
	if n := len(b.Samples); n > 0 && compareSamples(b.Samples[n-1], s) > 0 {
		return errors.New("samples are not in order")
	}
	b.Samples = append(b.Samples, s)
	return nil
}

func parseHashes(texts []string, most int) ([][32]byte, error) {
	if len(texts) > most {
		return nil, fmt.Errorf("%d hashes, more than %d", len(texts), most)
	}
	var all [][32]byte
	for _, t := range texts {
		h, err := parseHash(t)
		if err != nil {
			return nil, err
		}
		all = append(all, h)
	}
	return all, nil
}
