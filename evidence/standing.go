package evidence

import "errors"

// Facts are the inputs of a standing, by name.
type Facts map[string]string

// Standing returns where the operator stands on a duty and the key of the reason.
func Standing(duty string, f Facts) (standing, why string, err error) {
	return "unproven", "nothing_here_answers", errors.New("not written yet")
}
