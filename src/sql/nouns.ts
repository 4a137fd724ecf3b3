/** English nouns, singular, with a regular plural; none is a word of SQL. */
export const nouns: readonly string[] = `
account acorn actor address adventure advisor agency agent airline airport album alley alloy almond
amount amulet anchor angle animal ankle answer antenna apartment appliance apple apron arch archive
arena armor arrow artery article artist asset assistant athlete atlas atom auction author avenue
award axle badge badger bakery balance balcony ballad ballot bamboo banana band banker banner barn
barrel barrier basin basket battery beach beacon beaker bear beard beaver bedroom beetle belfry bell
belt bench berry bicycle billing biscuit bishop blanket blazer blender block blossom boat bolt bonus
booking boot border bottle boulder bouquet bowl bracket branch brand bread breed brick bridge
broker brook broom bucket budget buffalo builder building bulb bundle bungalow burger button buyer
cabin cabinet cable cactus cadet cafe cake calendar camel camera camp canal candle canoe canopy
canvas canyon captain caravan carbon career cargo carpenter carpet carriage carrot carton cartoon
cash castle cashier catalog cavern ceiling cell cellar cello center century cereal chain chair
chamber champion channel chapel chapter charge charity chart chassis checkpoint cheese chef cherry
chest chicken chimney choir church cinema circle circuit circus citizen clause clerk client cliff
clinic clock closet cloud clover coach coast coat cobbler coffee coil coin collar college colony
color comet comic commission committee compass composer concert condition conductor consultant
container contest contract copper coral corner corridor costume cottage cotton couch council counter
county coupon courier cousin cover coyote cradle crane crater crayon credit creek crest cricket crop
crown crystal cup curator currency curtain curve cushion cyclist dancer dashboard deadline dealer
debit decade deck deer degree delivery deluge dentist deposit depot deputy desert designer desk
detail device diagram diamond diet digit dinner diploma director discount disease dish distance
district doctor dollar dolphin domain donation donkey donor door dragon drawer dress driver drone
drum duchess duration dwelling eagle earring easel echo eclipse edge editor editorial effort elbow
election elephant elevator elevation email ember emblem emperor employee enclave endpoint engine
engineer entrance envelope episode equation era errand escort estate event exam exhibit expense
expert explorer export fabric factor factory falcon family farm farmer farthing fashion feather fee
fence fern ferry festival fiber fiddle fighter figure filter finger fire firm fish flag flame flask
fleet flight floor florist flower flute folder forest forge fork formula fortress fossil fountain
frame freight friend frigate frog fruit fund funnel furnace gadget gallery game garage garden garment
garnet gate gauge gazelle gear gender gem genre geyser giant gift giraffe glacier glass glider glove
goal goat goblet gorge gown grade grain granite grant grape gravel grocer grocery grove guard guest
guide guild guitar gulf hall hammer hammock hamster handle hanger harbor harness harvest hat hatch
hawk headline health heater hedge height helmet herald herb hero heron highway hiker hill hinge hobby
hockey holder holiday honey hood hook horizon horn horse hospital host hostel hotel hour house hub
hull hunter hurdle hut hydrant iceberg icon idol igloo image import inbox incident income industry
infant inlet inn insect inspector instructor instrument insurance interview invoice island item ivory
jacket jaguar jail jar jersey jewel jockey journal journey judge jug juice jungle juror kayak kennel
kernel kettle keyboard kiln kingdom kiosk kitchen kite kitten knight knot label laboratory lace
ladder lagoon lake lamp landlord lane lantern laptop laser laundry lawn lawyer layer leader leaflet
league leather lecture ledge ledger legend lemon lender length lens lesson letter level lever library
license lighthouse lily line linen lion list litter lizard loan lobby lobster location locker
locomotive lodge loft logo lot lottery lounge lumber lunch machine magazine magnet mailbox maker
mall manager mango manor mantle manual map maple marble margin marina market marker marsh mascot mask
mason material matrix mattress maximum mayor meadow meal measure mechanic medal medicine meeting
melody melon member memo mentor menu merchant mercury message metal meteor meter method midwife mill
miner mineral minister mint mirror mission mixer model modem module molecule monarch monastery
monitor monkey month monument moon mortgage mosaic motel motor mountain movie mug mural muscle museum
musician nail name napkin nation navy necklace needle neighbor nephew nest network newspaper nickel
night node noise nomad notebook notice novel nozzle nugget number nurse nursery oak oasis oboe
observer ocean octopus offer office officer olive onion opera operator orange orbit orchard orchid
organ orphan otter outlet oven owl owner oyster paddle page painter painting palace palette panda
panel pantry paper parade parcel parent park parrot parsley partner passenger passport pasta pastry
patch path patient patrol pattern pavilion payment payroll peach peak peanut pearl pebble pedal
pencil penguin pension pepper percent performer perfume period permit person petal petition phase
phone photo phrase piano picnic picture pier pigeon pilgrim pillar pillow pilot pine pipe pirate
pitcher pizza plan planet plant plaque plate platform player plaza plot plumber pocket podium poem
poet point polar policy pond pony poplar population porch port porter portfolio portrait post poster
potato pottery pouch powder prairie premium present president price priest prince printer prison
prize process producer product professor profile profit program project promotion proposal province
publisher pulley pump pumpkin pupil puppet purchase purse puzzle pyramid quail quantity quarry
quarter quartz queen quest quilt quiz quota rabbit raccoon race radar radio raft railway rainbow ranch
ranger rank rate rating raven reactor reader rebate receipt recipe record recruit reef referee
refund region registry relic remedy rent repair report reptile rescue reserve resident resort
restaurant retailer revenue review reward ribbon rider ridge rifle ring risk rival river road robin
robot rocket rod role roof room rope rose rotor route rower ruby rug ruler runner runway saddle safari
sailor salad salary salmon salon sample sandal sandwich satchel satellite sauce saucer sausage savings
scarf scene scholar school science scooter score scout screen screw script sculptor sculpture season
seat section sector seed segment seller seminar senator sensor sequel sergeant serial servant server
session settlement shade shadow shape shaver shed shelter sheriff shield shift ship shipment shirt
shoe shop shore shovel shrimp shrine shuttle sibling siege signal silk silver singer sink siren
sister size skater skill skirt slate sleeve slide slope snake socket soda sofa software soldier
sonnet soup spade spark sparrow speaker speech speed sphere spider spindle spiral sponsor spoon sport
spouse spring square squirrel stable stadium staff stage stair stall stamp standard star station
statue steamer stem stencil step steward stock stone stool store storm story stove strap stream
street string studio style subject suburb subway suitcase summit supplier surgeon surname survey
swallow swamp swan sweater switch sword symbol symphony syrup system tablet tailor talent tank target
tariff taxi teacher team teapot technician telescope temperature temple tenant tennis tent terminal
terrace territory theater theory thermostat thistle thread throne thumb ticket tiger tile timber
title toast tobacco token toll tomato tool topic torch tornado tortoise total tour tourist tower town
tractor trader trail trailer train tram transcript transport traveler tray treasure treaty tree
trench trial tribe tribute trip trophy truck trumpet trunk tube tuition tulip tunnel turbine turkey
turtle tutor twig umbrella uncle uniform unit university usher vacation vaccine valley valve vapor
variety vase vault vehicle velvet vendor venture venue verdict vessel veteran victim video viewer
village vine vineyard violin virus visa visitor vitamin volcano volume volunteer vote voucher voyage
wage wagon waiter wallet walnut wardrobe warehouse warning warrior washer watch waterfall wave weapon
weaver wedding weight whale wharf wheel whisker whistle widget width willow window wing winner winter
witness wizard wolf wonder workshop worker wreath wrench writer yacht yard year yogurt youth zebra
zipper zone`.trim().split(/\s+/);
