// Package install writes files that help a person to install software with a
// key. What they contain is a secret, as the key is.
package install

import (
	"encoding/xml"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/license-operator/license-operator/internal/keys"
)

// errKey says nothing of the key: it may be somebody's secret all the same.
var errKey = errors.New("the key is not 5x5, five groups of five capital letters or digits: nothing else can be put into a file that a machine carries out")

// Office is what Microsoft's Office Deployment Tool calls an edition of Office.
type Office struct {
	// ProductID is one of the page "Product IDs that are supported by the
	// Office Deployment Tool for Click-to-Run", such as ProPlus2024Volume.
	ProductID string
	// Channel that it is installed and updated from. A volume licensed
	// version has one of its own, such as PerpetualVL2024.
	Channel string
}

// OfficeOf returns Office Professional Plus of a version, if it is one that the
// tool installs: 2019, 2021 or 2024. Version 2016 and older ones come as
// Windows Installer packages ("Activate volume licensed versions of Office by
// using MAK").
//
// The names are those of the samples in "Deploy Office 2019 (for IT Pros)",
// "Deploy Office LTSC 2021" and "Install Office LTSC Preview" (of 2024). Each
// channel is the only one for its version, say "Update Office 2019 (for IT
// Pros)", "Update Office LTSC 2021" and "Update Office LTSC 2024".
func OfficeOf(version string) (Office, bool) {
	switch version {
	case "2019", "2021", "2024":
		return Office{ProductID: "ProPlus" + version + "Volume", Channel: "PerpetualVL" + version}, true
	}
	return Office{}, false
}

// The elements and attributes of the page "Configuration options for the Office
// Deployment Tool" that are used here; Display, RemoveMSI, Property and what
// else there is are for the person to add. PIDKEY is not on that page, but on
// the deployment pages named at OfficeOf, which write it with hyphens.
type (
	configuration struct {
		XMLName xml.Name `xml:"Configuration"`
		Comment string   `xml:",comment"`
		Add     add
	}
	add struct {
		OfficeClientEdition string `xml:",attr"`
		Channel             string `xml:",attr"`
		Product             product
	}
	product struct {
		ID       string `xml:",attr"`
		PIDKEY   string `xml:",attr"`
		Language language
	}
	language struct {
		ID string `xml:",attr"`
	}
)

// howToRun is taken from "Install Office LTSC Preview": the tool is setup.exe,
// and it takes an elevated prompt.
const howToRun = ` Next to the setup.exe of the Office Deployment Tool, at an elevated prompt: setup.exe /configure configuration.xml `

// Configuration is the configuration.xml of the Office Deployment Tool that
// installs the 32-bit edition of Office with a key in one language: a BCP 47
// tag with a region, such as fr-FR, or empty for that of Windows.
//
// Whoever runs it is shown the licence terms and can accept them: the file does
// not do so for anybody. Nothing that is installed already is removed.
func Configuration(office Office, key, tag string) ([]byte, error) {
	if office.ProductID == "" || office.Channel == "" {
		return nil, errors.New("the Office Deployment Tool needs a product ID and a channel: set officeDeployment of the version")
	}
	if !keys.Is5x5(key) {
		return nil, errKey
	}
	id, err := languageID(tag)
	if err != nil {
		return nil, err
	}
	text, err := xml.MarshalIndent(configuration{
		Comment: howToRun,
		Add: add{
			OfficeClientEdition: "32",
			Channel:             office.Channel,
			Product:             product{ID: office.ProductID, PIDKEY: key, Language: language{ID: id}},
		},
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing configuration.xml: %w", err)
	}
	return append(text, '\n'), nil
}

// culture is the form of the culture codes in "Overview of deploying languages
// for Microsoft 365 Apps": a language, sometimes a script, a region, and in
// ca-ES-valencia a variant.
var culture = regexp.MustCompile(`^[a-z]{2,3}(-[a-z]{4})?-[a-z]{2}(-[a-z0-9]{5,8})?$`)

// languageID is what the tool calls a language: the page "Configuration options
// for the Office Deployment Tool" has culture codes in lower case, and MatchOS
// for the languages of Windows. Which of them there are depends on the product;
// the tool fails where there is none.
func languageID(tag string) (string, error) {
	if tag == "" {
		return "MatchOS", nil
	}
	id := strings.ToLower(tag)
	if !culture.MatchString(id) {
		return "", fmt.Errorf("the Office Deployment Tool does not know the language %q: give it with its region, such as fr-FR", tag)
	}
	return id, nil
}
