package records

import (
	"errors"
	"io/fs"
)

// ignoreGone drops the error of a file that went away while a folder was read: the
// store runs meanwhile.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
