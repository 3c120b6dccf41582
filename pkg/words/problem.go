package words

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// TimeLayout is how the API writes a time within a sentence, always in UTC. Whoever
// shows the sentence to people puts their own time in its place.
const TimeLayout = "15:04:05 on 2 January 2006 UTC"

// Problem says to people what the API says in English, the details and messages of its
// problems, in their language. What is not in the table stays as it is; a test of the
// API finds what has no Dutch. What the API says to developers, in the words of the API,
// has other words in English, too.
func Problem(english string, in Language) string {
	table := problems()
	if in != Dutch {
		table = plainProblems()
	}
	return translate(table, english, func(value string) string { return value })
}

// ProblemPatterns are the sentences of the API that the tables have, with {} for what
// differs.
func ProblemPatterns() []string {
	table := append(problemTable(), plainTable()...)
	patterns := make([]string, len(table))
	for i, row := range table {
		patterns[i] = row[0]
	}
	return patterns
}

// translation finds a sentence and says it in other words.
type translation struct {
	pattern *regexp.Regexp
	said    string
}

var (
	problems      = sync.OnceValue(func() []translation { return compile(problemTable()) }) //nolint:gochecknoglobals // never changed
	plainProblems = sync.OnceValue(func() []translation { return compile(plainTable()) })   //nolint:gochecknoglobals // never changed
)

// compile makes patterns of a table of sentences: as they are in English, and as they
// are to be said. The particular goes before the general.
func compile(table [][2]string) []translation {
	literal := func(row [2]string) int { return len(strings.ReplaceAll(row[0], "{}", "")) }
	slices.SortStableFunc(table, func(a, b [2]string) int { return literal(b) - literal(a) })
	list := make([]translation, len(table))
	for i, row := range table {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(row[0]), regexp.QuoteMeta("{}"), "(.+)")
		list[i] = translation{pattern: regexp.MustCompile("^" + pattern + "$"), said: row[1]}
	}
	return list
}

// translate says in other words what is in a table; what is not stays as it is. into is
// for the values that the sentence has.
func translate(table []translation, english string, into func(value string) string) string {
	for _, t := range table {
		values := t.pattern.FindStringSubmatch(english)
		if values == nil {
			continue
		}
		translated := t.said
		for i, value := range values[1:] {
			translated = strings.ReplaceAll(translated, "{"+strconv.Itoa(i+1)+"}", into(value))
		}
		return translated
	}
	return english
}

// problemTable has a row for each sentence: in English, with {} for what differs, and
// in Dutch, with the same by its number.
func problemTable() [][2]string {
	return append(append(callerProblems(), fieldProblems()...), append(urlProblems(), deliveryProblems()...)...)
}

// callerProblems are about who calls, what is away, and the request as a whole.
func callerProblems() [][2]string {
	return [][2]string{
		{"Invalid session", "Ongeldige sessie"},
		{"User not onboarded", "Uw account is nog niet klaar. Rond eerst de aanmelding in het dashboard af."},
		{"Project not found", "Dit project is niet gevonden."},
		{"Webhook not found", "Deze webhook is niet gevonden."},
		{"Attempt not found", "Deze poging is niet gevonden."},
		{"Replay not found", "Deze verzending is niet gevonden."},
		{"Event not found", "Deze gebeurtenis is niet gevonden."},
		{"Not allowed", "U beheert de webhooks van dit project niet."},
		{"This action requires the changemaker tier (currently {}).", "Hiervoor is het abonnement ‘changemaker’ nodig; de werkruimte heeft nu ‘{1}’."},
		{"This page is not allowed to use your session.", "Deze pagina mag uw sessie niet gebruiken."},
		{"Permissions cannot be checked at the moment. Try again in a few seconds.", "De rechten kunnen nu niet worden gecontroleerd. Probeer het over enkele seconden opnieuw."},
		{"This project has {} webhooks, which is the most it can have. Delete one first.", "Dit project heeft {1} webhooks, en meer kunnen het er niet zijn. Verwijder er eerst een."},
		{"The webhook was changed by somebody else at the same time. Try again.", "De webhook is tegelijk door iemand anders gewijzigd. Probeer het opnieuw."},
		{
			"It is not known whether the webhook was made. Look at the list before you send this again, or send it again with the Idempotency-Key that it had.",
			"Het is niet bekend of de webhook is aangemaakt. Kijk in de lijst voordat u dit opnieuw verstuurt.",
		},
		{"Webhooks cannot be read or changed at the moment. Try again in a few seconds.", "Webhooks kunnen nu niet worden gelezen of gewijzigd. Probeer het over enkele seconden opnieuw."},
		{
			"Something went wrong on our side. Try again, and tell us the request id if it persists.",
			"Er ging bij ons iets mis. Probeer het opnieuw, en geef ons het nummer van het verzoek als het blijft gebeuren.",
		},
		{"Too many requests. Try again in 1 second.", "Te veel verzoeken. Probeer het over 1 seconde opnieuw."},
		{"Too many requests. Try again in {} seconds.", "Te veel verzoeken. Probeer het over {1} seconden opnieuw."},
		{"{} programs listen to this project, which is the most at once. Stop one of them first.", "Er luisteren al {1} programma's naar dit project, en meer kunnen het er niet tegelijk zijn. Stop er eerst een."},
		{"Too many programs listen at the moment. Try again later.", "Er luisteren nu te veel programma's. Probeer het later opnieuw."},
		{"This server is being restarted. Connect again: nothing is missed.", "Deze server wordt herstart. Maak opnieuw verbinding: er wordt niets gemist."},
		{"There is nothing at this address.", "Op dit adres is niets."},
		{"This method is not allowed here; see the Allow header.", "Deze pagina kan niet op deze manier worden geopend."},
		{"The request body must have at most {} bytes ({} KiB).", "Het verzoek mag hooguit {1} bytes ({2} KiB) groot zijn."},
		{"The request body came too slowly.", "Het verzoek kwam te langzaam binnen."},
		{"The request body ended early.", "Het verzoek brak te vroeg af."},
		{"The request body is not valid JSON.", "Het verzoek is geen geldige JSON."},
		{"The request body must be JSON: send it with Content-Type: application/json.", "Het verzoek moet JSON zijn: verstuur het met Content-Type: application/json."},
		{"The request body must be a JSON object.", "Het verzoek moet een JSON-object zijn."},
		{"The Idempotency-Key must be one word of 1 to {} visible ASCII characters.", "De Idempotency-Key moet één woord van 1 tot {1} zichtbare ASCII-tekens zijn."},
		{
			"This Idempotency-Key was used with another body within the last day. Use another key for another request.",
			"Dit formulier is al verstuurd, met andere gegevens. Begin met een nieuw formulier.",
		},
	}
}

// fieldProblems are about the fields of a webhook.
func fieldProblems() [][2]string {
	return [][2]string{
		{"The name must not be empty.", "De naam mag niet leeg zijn."},
		{"The name must have at most {} characters.", "De naam mag hooguit {1} tekens hebben."},
		{"The name must be one line of plain text.", "De naam moet één regel gewone tekst zijn."},
		{"The name must not contain characters that change the direction of the text.", "De naam mag geen tekens bevatten die de richting van de tekst veranderen."},
		{"The name must contain something that can be seen.", "De naam moet iets zichtbaars bevatten."},
		{"The description must have at most {} characters.", "De omschrijving mag hooguit {1} tekens hebben."},
		{"The description must be plain text.", "De omschrijving moet gewone tekst zijn."},
		{"The description must not contain characters that change the direction of the text.", "De omschrijving mag geen tekens bevatten die de richting van de tekst veranderen."},
		{"The secret must have {} to {} bytes.", "Het geheim moet {1} tot {2} tekens lang zijn (letters met accenten tellen dubbel)."},
		{
			"The secret must not begin or end with a blank or a line break: they get lost in copying, and then no signature fits. Leave them out.",
			"Het geheim mag niet met een spatie of regeleinde beginnen of eindigen: die gaan bij het kopiëren verloren, en dan klopt geen handtekening meer. Laat ze weg.",
		},
		{"The secret must consist of printable characters, without line breaks.", "Het geheim moet uit zichtbare tekens bestaan, zonder regeleinden."},
		{
			"The secret must begin with whsec_. Leave out what stands before it, such as v1, or a quotation mark.",
			"Het geheim moet met whsec_ beginnen. Laat weg wat ervoor staat, zoals v1 of een aanhalingsteken.",
		},
		{
			"A secret that starts with whsec_ must go on with base64, padded with =. Copy it again as a whole, or use a secret without that prefix.",
			"Een geheim dat met whsec_ begint, moet verdergaan met base64, aangevuld met =. Kopieer het opnieuw in zijn geheel, of gebruik een geheim zonder dat begin.",
		},
		{"There is no such format. Choose one of: {}.", "Dit formaat bestaat niet. Kies er een uit de lijst."},
		{"max_per_second must be {} to {} attempts a second, or 0 for no limit.", "De snelheid moet {1} tot {2} bezorgingen per seconde zijn, of 0 voor geen limiet."},
		{"overlap_seconds must be 0 to {} seconds, which is {} days.", "Het oude geheim kan 0 tot {2} dagen blijven gelden."},
		{"Choose at least one event: {}.", "Kies minstens één gebeurtenis."},
		{"Every event can be chosen only once.", "Elke gebeurtenis kan maar één keer worden gekozen."},
		{"{} does not exist; use {}.", "Deze gebeurtenis bestaat niet. Kies er een uit de lijst."},
		{"The status must be published, draft or archived.", "De status moet published, draft of archived zijn."},
		{
			"enabled and status contradict each other: published means enabled, draft and archived mean not. Send one of them.",
			"enabled en status spreken elkaar tegen: published betekent aan, draft en archived betekenen uit. Verstuur een van beide.",
		},
		{
			"The header {} is given twice: upper and lower case make no difference. Give it once.",
			"De header {1} is twee keer opgegeven: hoofdletters en kleine letters maken geen verschil. Geef hem één keer op.",
		},
		{"A webhook can have at most {} headers of its own.", "Een webhook kan hooguit {1} eigen headers hebben."},
		{"The name of a header must not be empty.", "De naam van een header mag niet leeg zijn."},
		{
			"The name of a header must consist of ASCII letters, digits and hyphens, without blanks and colons. Put the name before the colon of a header line, and the value after it.",
			"In de naam van een header mogen alleen letters zonder accenten, cijfers en koppeltekens staan. Van een regel als X-Api-Key: abc hoort X-Api-Key in het eerste veld en abc in het tweede.",
		},
		{"The name of a header must have at most {} bytes.", "De naam van een header mag hooguit {1} tekens lang zijn."},
		{"The header {} cannot be set: it is part of HTTP, or of every delivery.", "De header {1} kan niet worden ingesteld: die hoort bij HTTP of bij elke bezorging."},
		{"The header {} must have a value. Send null to remove it.", "De header {1} moet een waarde hebben."},
		{"The value of the header {} must have at most {} bytes.", "De waarde van de header {1} mag hooguit {2} tekens lang zijn."},
		{
			"The value of the header {} must consist of printable characters, without line breaks.",
			"De waarde van de header {1} moet uit zichtbare tekens bestaan, zonder regeleinden.",
		},
		{"{} must be a number from {} to {}.", "{1} moet een getal van {2} tot {3} zijn."},
		{"limit must be a whole number from 1 to {}.", "limit moet een geheel getal van 1 tot {1} zijn."},
		{"{} must be a time with its zone, such as 2026-01-20T12:00:00Z.", "{1} moet een tijd met tijdzone zijn, zoals 2026-01-20T12:00:00Z."},
		{"{} must be {}.", "De waarde van {1} klopt niet."},
		{"The URL is missing.", "Het adres ontbreekt."},
		{"The events are missing.", "De gebeurtenissen ontbreken."},
	}
}

// urlProblems are about where deliveries go.
func urlProblems() [][2]string {
	return [][2]string{
		{"The URL must not be empty.", "Het adres mag niet leeg zijn."},
		{"The URL must have at most {} bytes.", "Het adres mag hooguit {1} tekens lang zijn."},
		{"The URL must not contain control characters such as line breaks.", "Het adres mag geen stuurtekens bevatten, zoals regeleinden."},
		{"The URL must not contain spaces; write a space as %20.", "Het adres mag geen spaties bevatten; schrijf een spatie als %20."},
		{"The URL contains an invisible character. Copy it again, or type it.", "Het adres bevat een onzichtbaar teken. Kopieer het opnieuw of typ het over."},
		{"The URL must not contain backslashes.", "Het adres mag geen backslashes bevatten."},
		{"The URL must start with https:// or http://.", "Het adres moet met https:// of http:// beginnen."},
		{"The URL must start with https://.", "Het adres moet met https:// beginnen."},
		{"The URL must name a host, like https://example.org/webhooks.", "Het adres is niet volledig. Een volledig adres is bijvoorbeeld https://example.org/webhooks."},
		{
			"The URL must not contain a user name or a password. Use a secret to prove where a delivery comes from.",
			"Het adres mag geen gebruikersnaam of wachtwoord bevatten. Gebruik een geheim om te bewijzen waar een bezorging vandaan komt.",
		},
		{"The URL's host must be written without percent-encoding and without a zone.", "De domeinnaam in het adres moet zonder procentcodering en zonder zone zijn geschreven."},
		{"The URL must not contain a fragment (the part after #); receivers never see it.", "Het adres mag geen fragment bevatten (het deel na #); ontvangers krijgen dat nooit te zien."},
		{
			"The URL has a % that is not followed by two hexadecimal digits. Write a percent sign as %25.",
			"Het adres heeft een % die niet door twee hexadecimale cijfers wordt gevolgd. Schrijf een procentteken als %25.",
		},
		{"The URL is not valid. Write it like https://example.org/webhooks.", "Het adres is niet geldig. Schrijf het zoals https://example.org/webhooks."},
		{"The URL's port must be a number from 1 to 65535.", "De poort in het adres moet een getal van 1 tot 65535 zijn."},
		{
			"The URL's host must be a name or an IP address; an IPv6 address stands in brackets.",
			"De domeinnaam in het adres moet een naam of een IP-adres zijn; een IPv6-adres staat tussen blokhaken.",
		},
		{
			"The URL's host is not a valid address. Write an IPv4 address as four decimal numbers, like 203.0.113.7.",
			"De domeinnaam in het adres is geen geldig adres. Schrijf een IPv4-adres als vier decimale getallen, zoals 203.0.113.7.",
		},
		{
			"The URL must not point to localhost; use an address that can be reached from where deliveries are sent.",
			"Het adres mag niet naar localhost wijzen; gebruik een adres dat bereikbaar is vanaf de plek waar bezorgingen vandaan komen.",
		},
		{"The URL's host is not a valid name.", "De domeinnaam in het adres is niet geldig."},
		{
			"The URL points to an address where deliveries are not allowed to go. Use an address on the public internet.",
			"Naar dit adres mogen geen bezorgingen. Gebruik een adres op het openbare internet.",
		},
	}
}

// deliveryProblems are about tests, resends and replays, and why a webhook is off.
func deliveryProblems() [][2]string {
	return [][2]string{
		{
			"The receiver has asked to be left alone until {}, so nothing was sent. Try again after that.",
			"De ontvanger heeft gevraagd om met rust te worden gelaten tot {1}. Er is dus niets verstuurd. Probeer het daarna opnieuw.",
		},
		{
			"The test was not sent: the part that makes deliveries is not running. Try again in a few seconds.",
			"De test is niet verstuurd: het deel dat bezorgingen doet draait niet. Probeer het over enkele seconden opnieuw.",
		},
		{
			"The test took too long, and it is not known whether it arrived. Try again in a few seconds.",
			"De test duurde te lang, en het is niet bekend of die is aangekomen. Probeer het over enkele seconden opnieuw.",
		},
		{
			"The test was not sent because of a fault on our side. Try again in a few seconds.",
			"De test is door een fout aan onze kant niet verstuurd. Probeer het over enkele seconden opnieuw.",
		},
		{"The cursor is not one of ours for this webhook. Begin again without it.", "Deze pagina van de lijst is er niet meer. Begin bij de nieuwste."},
		{"since must lie in the past, and before until.", "Het begin moet in het verleden liggen, en voor het einde."},
		{"since lies in the future.", "Het begin ligt in de toekomst."},
		{"until must be after since.", "Het einde moet na het begin liggen."},
		{"only must be failed, missed or all.", "Kies wat er moet worden verstuurd."},
		{
			"The time since when events are to be sent again is missing.",
			"Het tijdstip vanaf wanneer gebeurtenissen opnieuw moeten worden verstuurd ontbreekt.",
		},
		{"The webhook is not subscribed to {}. Subscribe it first.", "De webhook krijgt deze gebeurtenis niet meer. Kies die eerst bij de instellingen."},
		{
			"The replay {} of this webhook is running. Wait until it is done, or cancel it: there is one at a time.",
			"Voor deze webhook wordt al opnieuw verstuurd. Wacht tot dat klaar is, of stop het eerst.",
		},
		{
			"The webhook is off. Sending goes on when it is switched on again.",
			"De webhook staat uit. Het versturen gaat verder zodra hij weer aanstaat.",
		},
		{"It was cancelled.", "Het is geannuleerd."},
		{"The webhook was deleted.", "De webhook is verwijderd."},
		{"It is on its way.", "Het is onderweg."},
		{"A test cannot be sent again. Send another test instead.", "Een test kan niet opnieuw worden verstuurd. Verstuur in plaats daarvan een nieuwe."},
		{
			"The event is no longer kept, so it cannot be sent again: it is too old, or it was erased.",
			"De gebeurtenis wordt niet meer bewaard en kan dus niet opnieuw worden verstuurd: die is te oud of is gewist.",
		},
		{"{} Then try again.", "De webhook staat uit. Zet hem aan en probeer het dan opnieuw."},
		{
			"Events and deliveries cannot be reached at the moment. Try again in a few seconds.",
			"Gebeurtenissen en bezorgingen zijn nu niet bereikbaar. Probeer het over enkele seconden opnieuw.",
		},
	}
}

// plainTable has the sentences of the API that are for developers, and what people are
// told instead.
func plainTable() [][2]string {
	return [][2]string{
		{"User not onboarded", "Your account is not ready yet. Finish signing up in the dashboard first."},
		{"Project not found", "This project was not found."},
		{"Webhook not found", "This webhook was not found."},
		{"Attempt not found", "This try was not found."},
		{"Replay not found", "What was sent again was not found."},
		{"Event not found", "This event was not found."},
		{"Not allowed", "You do not manage the webhooks of this project."},
		{"This action requires the changemaker tier (currently {}).", "This takes the “changemaker” tier; the workspace has “{1}” now."},
		{
			"It is not known whether the webhook was made. Look at the list before you send this again, or send it again with the Idempotency-Key that it had.",
			"It is not known whether the webhook was added. Look at the list of webhooks before you send this again.",
		},
		{"This method is not allowed here; see the Allow header.", "This page cannot be opened in this way."},
		{
			"This Idempotency-Key was used with another body within the last day. Use another key for another request.",
			"This form was sent before, with other details. Begin with a new one.",
		},
		{"The secret must have {} to {} bytes.", "The secret must have {1} to {2} characters (letters with accents count twice)."},
		{"The name of a header must have at most {} bytes.", "The name of a header must have at most {1} characters."},
		{"The value of the header {} must have at most {} bytes.", "The value of the header {1} must have at most {2} characters."},
		{"The URL must have at most {} bytes.", "The URL must have at most {1} characters."},
		{"The webhook is not subscribed to {}. Subscribe it first.", "The webhook does not get this event any more. Choose it in the settings first."},
		{
			"The replay {} of this webhook is running. Wait until it is done, or cancel it: there is one at a time.",
			"Something is being sent again for this webhook already. Wait until that is done, or stop it first.",
		},
	}
}
