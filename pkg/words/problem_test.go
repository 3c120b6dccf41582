package words_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	. "github.com/dembrane/webhooks/pkg/words"
)

func TestProblemKeepsWhatIsNotInTheTable(t *testing.T) {
	assert.Equal(t, "Something that nobody says.", Problem("Something that nobody says.", Dutch))
	assert.Equal(t, "De naam mag hooguit 200 tekens hebben.", Problem("The name must have at most 200 characters.", Dutch))
	// The particular goes before the general.
	assert.Equal(t, "De poort in het adres moet een getal van 1 tot 65535 zijn.", Problem("The URL's port must be a number from 1 to 65535.", Dutch))
}

// What is said in the words of the API is said to people in theirs, in English too.
func TestProblemIsForPeople(t *testing.T) {
	assert.Equal(t, "You do not manage the webhooks of this project.", Problem("Not allowed", English))
	assert.Equal(t, "U beheert de webhooks van dit project niet.", Problem("Not allowed", Dutch))
	assert.Equal(t, "The secret must have 8 to 255 characters (letters with accents count twice).", Problem("The secret must have 8 to 255 bytes.", English))
	assert.Equal(t, "The name must not be empty.", Problem("The name must not be empty.", English))
}
