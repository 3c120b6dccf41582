package words_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	. "github.com/dembrane/webhooks/pkg/words"
)

func TestProblemKeepsWhatIsNotInTheTable(t *testing.T) {
	assert.Equal(t, "Something that nobody says.", Problem("Something that nobody says.", Dutch))
	assert.Equal(t, "Not allowed", Problem("Not allowed", English))
	assert.Equal(t, "Niet toegestaan", Problem("Not allowed", Dutch))
	assert.Equal(t, "De naam mag hooguit 200 tekens hebben.", Problem("The name must have at most 200 characters.", Dutch))
	// The particular goes before the general.
	assert.Equal(t, "De poort in het adres moet een getal van 1 tot 65535 zijn.", Problem("The URL's port must be a number from 1 to 65535.", Dutch))
}
